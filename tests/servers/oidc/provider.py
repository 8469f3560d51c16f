"""npm oidc-provider, a certified OpenID provider, and a browser that signs in at it."""

from __future__ import annotations

import html
import re
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qsl, urljoin, urlsplit

import httpx2

from idp_adapters.contract import Arrival
from tests.servers.oidc.node import NodeServer, node_server

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

    from idp_adapters.contract import Departure
    from tests.fakes.network.certificates import Certified

PACKAGE, VERSION = "oidc-provider", "9.13.3"
CLIENT, SECRET = "web", "canary-7f3a9-websecret"
TENANT = "11111111-2222-3333-4444-555555555555"


def object_id(person: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, person))


def people(tenant: str = "") -> dict[str, dict[str, Any]]:
    """`carol` has more groups than fit into a token of Entra ID."""
    many = [f"g{number}" for number in range(250)]
    found: dict[str, dict[str, Any]] = {
        "alice": {"name": "Alice", "preferred_username": "alice@corp.example", "groups": ["devs", "eng"]},
        "bob": {"name": "Bob", "preferred_username": "bob@corp.example", "groups": []},
        "carol": {"name": "Carol", "preferred_username": "carol@corp.example", "graph_groups": many},
    }
    if tenant:
        found["carol"]["_claim_names"] = {"groups": "src1"}
        found["carol"]["_claim_sources"] = {"src1": {"endpoint": "https://graph.windows.net/x/getMemberObjects"}}
    for name, person in found.items():
        person.update({"oid": object_id(name), "tid": tenant, "ver": "2.0", "sid": f"sid-{name}"} if tenant else {})
        person.setdefault("graph_groups", person.get("groups", []))
    return found


def client(base_url: str, slug: str = "corp", **more: Any) -> dict[str, Any]:
    """As it is registered there: our addresses, and how we prove ourselves."""
    ours = f"{base_url}/signin/{slug}"
    return {
        "client_id": CLIENT, "client_secret": SECRET, "redirect_uris": [f"{ours}/callback"],
        "post_logout_redirect_uris": [f"{ours}/logout"], "response_types": ["code"],
        "grant_types": ["authorization_code", "refresh_token", "client_credentials"],
        "backchannel_logout_uri": f"{ours}/logout", "backchannel_logout_session_required": True,
    } | more  # fmt: skip


class OpenIdServer:
    """What the tests of adapters want of a provider."""

    def __init__(self, node: NodeServer, tenant: str = "", tls: ssl.SSLContext | None = None) -> None:
        self.node = node
        self.origin = node.origin
        self.tenant = tenant
        self.prefix = f"/{tenant}/v2.0" if tenant else ""
        self.issuer = self.origin + self.prefix
        self.tls = tls

    def answer(self, departure: Departure, person: str = "alice", **more: str) -> Arrival:
        with Browser(self.tls) as browser:
            arrival = browser.sign_in(departure.url, person)
        return Arrival(method=arrival.method, url=arrival.url, parameters={**arrival.parameters, **more})

    def remove(self, person: str) -> None:
        self.node.tell("remove", user=person)


class Browser:
    """Follows redirects to the provider and posts its forms, until it is sent back to where it came from."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.client = httpx2.Client(verify=tls if tls is not None else True, trust_env=False, timeout=20)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def sign_in(self, url: str, person: str) -> Arrival:
        """From `url` on, until the provider sends the browser elsewhere."""
        there, method, form = urlsplit(url).netloc, "GET", {}
        for _ in range(20):
            if urlsplit(url).netloc != there:
                query = dict(parse_qsl(urlsplit(url).query))
                return Arrival(method=method, url=url.partition("?")[0], parameters=form or query)
            answer = self._ask(method, url, form)
            if answer.is_redirect:
                method, form, url = "GET", {}, urljoin(url, answer.headers["location"])
            else:
                method, (action, form) = "POST", read_form(answer.text)
                url = urljoin(url, action)
                form |= {"login": person, "password": "any"} if form.get("prompt") == "login" else {}
        raise AssertionError("the provider sends the browser in circles")

    def sign_out(self, url: str) -> None:
        """The provider's own logout, confirmed."""
        action, form = read_form(self._ask("GET", url, {}).text)
        answer = self._ask("POST", urljoin(url, action), form)
        while answer.is_redirect:
            answer = self._ask("GET", urljoin(url, answer.headers["location"]), {})

    def _ask(self, method: str, url: str, form: dict[str, str]) -> httpx2.Response:
        answer = self.client.request(method, url, data=form or None)
        assert answer.status_code < 400, answer.text
        return answer


def read_form(page: str) -> tuple[str, dict[str, str]]:
    """The first form of a page: where it is posted, and what is in it."""
    action = re.search(r'<form[^>]*action="([^"]+)"', page)
    assert action, page
    inputs = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page)
    form = {name: html.unescape(value) for name, value in inputs}
    return html.unescape(action[1]), form | ({"logout": "yes"} if 'name="logout"' in page else {})


@contextmanager
def openid_server(
    clients: list[dict[str, Any]],
    *,
    tenant: str = "",
    certified: Certified | None = None,
    trusting: ssl.SSLContext | None = None,
    **config: Any,
) -> Iterator[OpenIdServer]:
    """While the block runs; with a `tenant` in the shape of Entra ID, which is not to be had without TLS."""
    tls = {"certificate": str(certified.certificate), "key": str(certified.key)} if certified else None
    told = {"clients": clients, "users": people(tenant), "tenant": tenant, "tls": tls} | config
    with node_server("op.mjs", PACKAGE, VERSION, told) as node:
        yield OpenIdServer(node, tenant, trusting)
