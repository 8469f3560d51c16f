"""T-53: no credential of one person is ever sent for another, in any mode, however their calls are mixed."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from authz.fingerprints import fingerprint
from authz.people import providers
from authz.people.sessions import begin_session
from authz.principals import VerifiedClaims
from authz.tables import ForeignSession
from gateway.credentials import Asked, deeds
from gateway.credentials.shelf import Shelf
from gateway.identity.keeping import sealed
from idp_adapters.common import ProviderConfig
from idp_adapters.config import KINDS, Kind
from idp_adapters.contract import Lent
from registry.credentials import authenticating
from registry.credentials.auth_modes import MODES, read_auth
from registry.credentials.connections import Tokens
from registry.database import Concern
from registry.servers import find
from registry.tables import Auth
from tests.fakes.door import Line, modern
from tests.fakes.door import upstream as reached
from tests.fakes.furnished import allow, door_of, furnish, minted
from tests.fakes.openid import Heard, Reply, listening
from tests.fakes.raw import Asked as Received
from tests.fakes.raw import http, principal, raw_server, result
from tests.fakes.upstream_authority import Authority
from tests.gateway.oauth.house import House

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pytest

    from authz.tables import Person
    from idp_adapters.contract import Equipment, Finding

CALLS = 10_000
LINES = 2  # of each person
ALIKE = "t" * 200  # how every token begins
TOOLS = ("one", "two")
PEOPLE = ("anna", "annb", "annc", "annd")
ROOM = 12  # credentials that are at hand at a time: far fewer than are used
SHARED = {
    "stored": (Auth.STATIC, {}),
    "team": (Auth.OAUTH_SHARED, {}),
    "ourselves": (Auth.CLIENT_CREDENTIALS, {"client_id": "us"}),
}
PERSONAL: dict[str, tuple[Auth, dict[str, Any]]] = {
    "given": (Auth.STATIC, {"per": "person", "header": "Authorization", "scheme": "Bearer"}),
    "connected": (Auth.OAUTH_PERSON, {}),
    "exchanged": (Auth.TOKEN_EXCHANGE, {"client_id": "us", "token_endpoint": ""}),
    "behalf": (Auth.ON_BEHALF_OF, {"provider": "corp", "scopes": ("api://x/y",)}),
    "asserted": (Auth.ID_JAG, {"client_id": "us", "source": "ours", "issuer": ""}),
    "minted": (Auth.MINTED, {}),
}


def test_t_53_every_mode_that_sends_something_is_tried() -> None:
    tried = {auth for auth, _ in (*SHARED.values(), *PERSONAL.values())}
    assert tried == set(Auth) - {Auth.NONE, Auth.AWS}  # AWS signs each request with one key of ours


class Lender:
    """An identity provider that stands for whoever is signed in there; what it kept of them is who they are."""

    def __init__(self, _config: ProviderConfig, _equipment: Equipment) -> None:
        """It needs neither."""

    def check(self) -> Iterator[Finding]:
        return iter(())

    def on_behalf(self, keep: bytes, _scopes: Sequence[str]) -> Lent:
        return Lent(ALIKE + keep.decode(), time.time() + 300)

    def on_our_own(self, _scopes: Sequence[str]) -> Lent:
        return Lent(f"{ALIKE}us", time.time() + 300)


def sign_in(house: House, people: dict[str, Person]) -> None:
    """At `corp`, in a browser each."""
    now = time.time()
    with house.office.database.change(Concern.PEOPLE) as session:
        providers.put(session, "corp", "lender", {}, now=now)
        for person in people.values():
            hash_ = fingerprint(begin_session(session, person, now=now, life=3600, amr="pwd", address=""))
            keep = sealed(house.office, hash_, person.id.encode())
            session.add(
                ForeignSession(
                    session=hash_, provider="corp", person=person.id, keep=keep, asked_at=now, until=now + 3600
                )
            )


class Services(Authority):
    """An authorization server that exchanges tokens, and takes assertions, as well."""

    def give(self, heard: Heard) -> Reply:
        brought = heard.form.get("subject_token") or heard.form.get("assertion", "")
        if not brought:
            said = super().give(heard)
            return Reply(said.status, said.body | {"access_token": f"{ALIKE}us"})
        whose = json.loads(decoded(brought.split(".")[1]))["sub"]
        kind = "urn:ietf:params:oauth:token-type:access_token"
        token = {"access_token": f"{ALIKE}{whose}", "token_type": "Bearer", "expires_in": 300}
        return Reply(200, token | {"issued_token_type": kind})


def decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def server_of(services: Services) -> Any:
    async def answer(asked: Received, _: asyncio.StreamWriter) -> bytes:
        path = asked.head.split(b" ", 2)[1].decode()
        if path.startswith("/.well-known"):
            here = f"http://{asked.headers['host']}/mcp"
            return http(json.dumps({"resource": here, "authorization_servers": [services.issuer]}).encode())
        text = json.dumps([asked.headers.get("authorization", ""), asked.message["params"]["name"]])
        return http(result(asked, {"resultType": "complete", "content": [{"type": "text", "text": text}]}))

    return answer


def settle(house: House, url: str, services: Services) -> dict[str, Person]:
    """Before the house opens: a server of each mode, and people who may use all of them."""
    people = {handle: house.person(handle) for handle in PEOPLE}
    for slug, (auth, settings) in (SHARED | PERSONAL).items():
        furnish(house, slug, url, *TOOLS)
        places = {"token_endpoint": f"{services.issuer}/token", "issuer": services.issuer}
        more = {name: places[name] for name in places.keys() & settings.keys()}
        secrets = {"header": f"Authorization: Bearer {ALIKE}stored".encode()} if slug == "stored" else {}
        if "client_secret" in MODES[auth].secrets and "client_id" in settings:
            secrets = {"client_secret": b"secret"}
        with house.office.database.change(Concern.CATALOGUE) as session:
            server = find(session, slug)
            authenticating.set_auth(session, server, auth, settings | more, secrets, house.office.vault)
    for person in people.values():
        allow(house, person, *(f"{slug}.*" for slug in SHARED | PERSONAL))
    return people


def connect(house: House, url: str, people: dict[str, Person]) -> None:
    equipment = house.world.credentials.equipment
    tokens = Tokens(access=f"{ALIKE}team", issuer="https://as.example", audience=url)
    deeds.connect(equipment, "team", "", tokens, who="operator:root")
    given_at = house.world.snapshots.current.catalogue.upstreams["given"]
    for person in people.values():
        tokens = Tokens(access=ALIKE + person.id, issuer="https://as.example", audience=url)
        deeds.connect(equipment, "connected", person.id, tokens, who=f"user:{person.handle}")
        deeds.give(equipment, given_at, person.id, (ALIKE + person.id).encode(), who=f"user:{person.handle}")


def whose(value: str) -> tuple[str, str]:
    """Whom a credential that arrived is about, and for which tool, where it says so."""
    token = value.removeprefix("Bearer ")
    if token.startswith(ALIKE):
        return token.removeprefix(ALIKE), ""
    said = json.loads(decoded(token.split(".")[1]))
    return said["sub"], said["scope"]


def expected(slug: str, tool: str, person: Person) -> tuple[str, str]:
    if slug in SHARED:
        return {"stored": "stored", "team": "team", "ourselves": "us"}[slug], ""
    return person.id, f"{slug}.{tool}" if slug == "minted" else ""


async def on_one_line(house: House, token: str, person: Person, times: int, seed: int) -> int:
    chance, right = random.Random(seed), 0
    async with Line(door_of(house)) as line:
        for _ in range(times):
            slug, tool = chance.choice([*SHARED, *PERSONAL]), chance.choice(TOOLS)
            got = await line.ask("POST", "/mcp", *modern(token, "tools/call", {"name": f"{slug}_{tool}"}))
            assert got.status == 200, got.body
            value, named = json.loads(json.loads(got.body)["result"]["content"][0]["text"])
            assert (named, *whose(value)) == (tool, *expected(slug, tool, person)), slug
            right += 1
    return right


async def disturb(house: House, url: str, people: dict[str, Person]) -> None:
    """Meanwhile everybody connects anew, again and again: what was at hand is cut off in the middle of it all."""
    while True:
        await asyncio.sleep(0.5)
        await asyncio.to_thread(connect, house, url, people)


async def test_t_53_ten_thousand_calls_of_many_people_over_all_modes_never_cross(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lender = Kind(model=ProviderConfig, adapter=f"{__name__}:Lender", title="Lender")
    monkeypatch.setitem(KINDS, "lender", lender)
    services = Services()
    services.add_app("us", "secret")
    with listening(services):
        async with raw_server(server_of(services)) as server:
            house = House(tmp_path, allow_addresses=(services.origin,))
            url = f"http://127.0.0.1:{server.port}/mcp"
            people = settle(house, url, services)
            sign_in(house, people)
            client = house.client()
            with house:
                await asyncio.to_thread(connect, house, url, people)
                house.world.credentials._shelf = Shelf(ROOM)
                tokens = {handle: minted(house, person, client) for handle, person in people.items()}
                disturbing = asyncio.create_task(disturb(house, url, people))
                share = CALLS // (LINES * len(people))
                jobs = [
                    on_one_line(house, tokens[handle], person, share, number)
                    for number, (handle, person) in enumerate([*people.items()] * LINES)
                ]
                assert sum(await asyncio.gather(*jobs)) == CALLS
                disturbing.cancel()


people_ = st.tuples(st.sampled_from(["usr_1", "usr_2"]), st.lists(st.sampled_from(["agt_1", "agt_2"]), max_size=2))
asks = st.tuples(
    st.sampled_from(["notes", "board"]), st.sampled_from([*Auth]), people_, st.sampled_from(["notes.one", "notes.two"])
)


def key_of(ask: tuple[str, Auth, tuple[str, list[str]], str]) -> tuple[Any, tuple[Any, ...]]:
    """By what it is found, and all that must tell it from any other."""
    slug, auth, (person, actors), tool = ask
    needs = {
        "header": "X-Key",
        "source": "provider",
        "subject": "identity",
        "client_id": "c",
        "token_endpoint": "https://x.example",
        "provider": "p",
    }
    needs |= {"region": "r", "service": "s", "access_key": "k", "per": "person"}
    wanted: dict[str, Any] = {name: value for name, value in needs.items() if name in MODES[auth].model_fields}
    if auth is Auth.ON_BEHALF_OF:
        wanted["scopes"] = ("a",)
    settings = read_auth(auth, wanted)
    chain: dict[str, Any] = {}
    for actor in reversed(actors):
        chain = {"sub": actor, **({"act": chain} if chain else {})}
    somebody = principal(person, claims=VerifiedClaims({"act": chain} if chain else {}))
    asked = Asked(upstream=replace(reached(slug), auth=auth, auth_settings=settings), principal=somebody, object=tool)
    own = settings.personal or settings.derived
    told = (person if own else "", tuple(actors) if settings.derived else (), tool if settings.per_tool else "")
    return asked.key, (slug, auth, *told)


@given(asks, asks)
def test_t_53_two_that_differ_in_anything_that_matters_are_never_found_by_one_key(one: Any, other: Any) -> None:
    (first, first_is), (second, second_is) = key_of(one), key_of(other)
    assert (first == second) == (first_is == second_is)
