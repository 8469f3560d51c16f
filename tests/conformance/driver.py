"""What the suite runs as a client, `python -m tests.conformance.driver URL`: our upstream side against its server.

Scenarios of authorization are driven by the same pieces as in a call: credentials, upstreams, the flow of the pages; a
scripted browser is the administrator who connects the account. All others go through the whole gateway.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch
from urllib.parse import parse_qsl, urlsplit

import httpx2

from authz import jose
from gateway.assembly import open_office, open_world
from gateway.credentials import ConnectionNeeded, CredentialUnavailable, Refused, Unanswered
from gateway.credentials.equipment import Equipment
from gateway.credentials.oauth.client import own_documents
from gateway.credentials.oauth.connecting import flow
from gateway.credentials.platform import DeclaredToken
from gateway.settings import Settings
from gateway.starting.first_start import ensure_signing_key
from gateway.upstream import Answer, Ask, UpstreamError
from gateway.upstream.messages import CredentialRefused
from gateway.upstream.refreshing.reading import read_server
from registry.addresses import exception_line
from registry.catalogue.assembling import upstream_of
from registry.credentials.authenticating import set_auth
from registry.database import Concern
from registry.tables import Auth, Kind, Server, ServerState
from tests.conformance import employee, through
from tests.conformance.willing import WillingFetcher
from tests.fakes.servers.raw import principal

if TYPE_CHECKING:
    from gateway.office import Office
    from gateway.world import World
    from registry.catalogue import Credential, Upstream

HOME = "https://conformance-test.local"
DOCUMENT = "/client-metadata.json"  # where the suite knows a document of ours to be
SOMEBODY = "usr_somebody"
ATTEMPTS = 4  # times that somebody goes to a browser for one call

log = logging.getLogger("driver")


def main() -> None:
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    url, scenario = sys.argv[1], os.environ["MCP_CONFORMANCE_SCENARIO"]
    context = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT") or "{}")
    with tempfile.TemporaryDirectory(prefix="ostiary-client-") as folder:
        if scenario.startswith("auth/"):
            asyncio.run(authorize(Path(folder), url, scenario, context))
        else:
            through.run(Path(folder), url, os.environ.get("MCP_CONFORMANCE_PROTOCOL_VERSION", through.MODERN), context)


async def authorize(data: Path, url: str, scenario: str, context: dict[str, Any]) -> None:
    """Connects, reads and calls; what is refused on the way is said, and is no failure of the driver."""

    patch("gateway.credentials.equipment.Fetcher", WillingFetcher).start()  # for this process
    own_documents.PATHS["none"] = DOCUMENT
    settings = Settings(
        data=data, public_url=HOME, allow_addresses=(exception_line(url),), metrics_listen="",
        workload_tokens=platform(data, context),
    )  # fmt: skip
    office = open_office(settings, create=True)
    ensure_signing_key(office)
    mode, facts, secrets = how(scenario, context)
    if ("client_secret" in secrets or scenario.endswith("cimd")) and "issuer" not in facts:
        facts["issuer"] = named(office, url)
    with office.database.change(Concern.CATALOGUE) as session:
        server = Server(slug="suite", url=url, state=ServerState.APPROVED)
        session.add(server)
        set_auth(session, server, mode, facts, secrets, office.vault)
        upstream = upstream_of(server, settings.allow_addresses)
    if mode is Auth.ID_JAG:
        employee.sign_in(office, SOMEBODY, context)
    try:
        async with open_world(office) as world:
            await Caller(world, upstream).everything()
    finally:
        office.close()


def named(office: Office, url: str) -> str:
    """The authorization server that an administrator reads before they give a secret away."""
    upstream = upstream_of(Server(slug="suite", title="suite", url=url), office.settings.allow_addresses)
    equipment = Equipment(office).toward(upstream)
    return equipment.discovery.find(equipment.fetcher, upstream).authority.issuer


def platform(data: Path, context: dict[str, Any]) -> tuple[DeclaredToken, ...]:
    """What an operator would write down where the platform puts a token that says who we are."""
    if "valid_jwt" not in context:
        return ()
    file = data / "token"
    file.write_text(context["valid_jwt"])
    return (DeclaredToken(name="suite", file=file, issuer=jose.read_foreign(context["valid_jwt"]).claims["aud"]),)


def how(scenario: str, context: dict[str, Any]) -> tuple[Auth, dict[str, Any], dict[str, bytes]]:
    """The mode that an administrator would choose, with what the suite says of our app."""
    facts = {name: context[name] for name in ("client_id",) if name in context}
    secret = {"client_secret": context["client_secret"].encode()} if "client_secret" in context else {}
    if scenario.endswith("client-credentials-jwt"):
        key = {"client_key": context["private_key_pem"].encode()}
        return Auth.CLIENT_CREDENTIALS, facts | {"client_auth": "private_key_jwt"}, key
    if scenario.endswith("wif-jwt-bearer"):
        return Auth.CLIENT_CREDENTIALS, facts | {"workload": "suite", "grant": "jwt-bearer"}, {}
    if secret:
        facts["client_auth"] = "client_secret_basic"
    if scenario.endswith("client-credentials-basic"):
        return Auth.CLIENT_CREDENTIALS, facts, secret
    if scenario.endswith("enterprise-managed-authorization"):
        return Auth.ID_JAG, facts | {"provider": employee.PROVIDER}, secret
    if context.get("issuer"):
        facts["issuer"] = context["issuer"]
    return Auth.OAUTH_SHARED, facts, secret


class Caller:
    """Everything that the gateway does at a server: reads it, and calls each of its tools once."""

    def __init__(self, world: World, upstream: Upstream) -> None:
        self._world = world
        self._upstream = upstream
        self._who = principal(SOMEBODY)

    async def everything(self) -> None:
        try:
            seen = await self._persist(self._read)
            for tool in (one.name for one in seen.definitions if one.kind is Kind.TOOL):
                await self._persist(lambda credential, tool=tool: self._call(tool, credential))
        except (UpstreamError, Refused, Unanswered) as refused:
            log.info("given up: %s", refused)

    async def _persist(self, act: Any) -> Any:
        """With a browser between, where somebody has to connect the account or to let it do more."""
        for _ in range(ATTEMPTS):
            try:
                return await self._try(act)
            except ConnectionNeeded as needed:
                log.info("to the browser: %s %s", needed, sorted(needed.scopes))
                await self._connect(needed)
        raise CredentialUnavailable("it never has enough")

    async def _try(self, act: Any) -> Any:
        """As a call is sent (`gateway.portal.calls.sending`)."""
        world, upstream, who = self._world, self._upstream, self._who
        credential = world.credentials.at_hand(world.snapshots.current, upstream, who)
        credential = credential or await world.credentials.obtain(upstream, who)
        try:
            return await act(credential)
        except CredentialRefused as refused:
            assert credential is not None
            another = await world.credentials.again(world.snapshots.current, upstream, who, credential, refused)
            return await act(another)

    async def _read(self, credential: Credential | None) -> Any:
        seen = await read_server(self._world.upstreams, self._upstream, credential)
        self._upstream = replace(
            self._upstream, era=seen.era, protocol_version=seen.protocol_version, capabilities=seen.capabilities
        )
        return seen

    async def _call(self, tool: str, credential: Credential | None) -> Answer:
        params = {"name": json.dumps(tool).encode(), "arguments": b"{}"}
        ask = Ask(method="tools/call", name=tool, params=params, principal=self._who)
        return await self._world.upstreams.send(self._upstream, ask, through.Nobody(), credential)

    async def _connect(self, needed: ConnectionNeeded) -> None:
        """The administrator's browser: away, and back with whatever it was given."""
        whose = {"person": "usr_admin", "browser": "a-cookie"}
        tools = self._world.credentials.equipment
        departure = await asyncio.to_thread(
            flow.begin, tools, self._upstream, subject=needed.subject, scopes=needed.scopes, **whose
        )
        async with httpx2.AsyncClient(trust_env=False, follow_redirects=False) as browser:
            answer = await browser.get(departure.url)
        back = dict(parse_qsl(urlsplit(answer.headers["location"]).query))
        await asyncio.to_thread(flow.finish, tools, self._upstream.slug, back, shares=True, **whose)


if __name__ == "__main__":
    main()
