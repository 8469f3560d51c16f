"""HTTP APIs: an `Engine` whose servers speak no MCP. Each call is one request, and nothing is asked unless called."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import msgspec

from gateway.egress.routes import Route, route_to
from gateway.upstream import Answer, Probed, UpstreamBroken
from gateway.upstream.messages import refusal
from gateway.upstream.openapi import keys, refusals, results
from gateway.upstream.openapi.requests import write
from gateway.upstream.openapi.styles import Unwritable
from gateway.upstream.troubles import Trouble
from registry.openapi.plan import plan_of
from registry.tables import Era

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.egress.pool import Egress
    from gateway.egress.reply import Reply, Terms
    from gateway.upstream import Ask, Downstream, FeedEvent
    from gateway.upstream.openapi.requests import Request
    from registry.catalogue import Credential, Entry, Upstream
    from registry.openapi.plan import Plan

CAPABILITIES: Final[dict[str, Any]] = {"tools": {}}
KEPT: Final = 4096


class _Known(msgspec.Struct, frozen=True):
    """An approved definition, read once. `names` are those of its arguments and of all inside them."""

    entry: Any
    plan: Plan
    promised: bool
    names: frozenset[str]


class Apis:
    """Used on one event loop."""

    def __init__(self, egress: Egress) -> None:
        self._egress = egress
        self._known: dict[tuple[str, str], _Known] = {}
        self._routes: dict[str, tuple[Upstream, Route]] = {}

    async def send(
        self,
        server: Upstream,
        ask: Ask,
        down: Downstream,  # noqa: ARG002  # an API says nothing before its answer
        credential: Credential | None,
        terms: Terms,
    ) -> Answer:
        if ask.entry is None or ask.method != "tools/call":
            raise UpstreamBroken("an HTTP API has tools and nothing else", Trouble.REFUSED)
        known = self._read(ask.entry)
        try:
            request = write(known.plan, server.target, bytes(ask.params.get("arguments", b"{}")))
            keys.check_lines(request, credential)
        except Unwritable as unwritable:
            return Answer(result=results.refused(f"Nothing was sent: {unwritable}."))
        try:
            return await self._exchange(server, request, known, credential, terms)
        except UpstreamBroken as broken:
            if broken.trouble is not Trouble.TOO_LARGE:
                raise
            return Answer(result=results.refused(results.too_large(known.plan, terms.size)))

    async def probe(self, server: Upstream, credential: Credential | None) -> Probed:  # noqa: ARG002  # nothing is sent
        """Whether it can be connected to. No operation is so harmless that we would call it unasked."""
        await self._egress.reach(self._route(server))
        return Probed(era=Era.MODERN, protocol_version="", capabilities=CAPABILITIES, info={})

    async def events(
        self,
        server: Upstream,  # noqa: ARG002
        uris: frozenset[str],  # noqa: ARG002
        credential: Credential | None,  # noqa: ARG002
    ) -> AsyncIterator[FeedEvent]:
        """An API tells of nothing by itself."""
        await asyncio.get_running_loop().create_future()
        yield  # type: ignore[misc]  # never reached: it makes this a generator

    async def sweep(self) -> None:
        if len(self._known) > KEPT:
            self._known.clear()

    async def close(self) -> None:
        """Connections are closed by whose they are."""

    async def _exchange(
        self, server: Upstream, request: Request, known: _Known, credential: Credential | None, terms: Terms
    ) -> Answer:
        route = self._route(server)
        reply = await self._egress.exchange(
            route,
            request.method,
            request.lines,
            request.body,
            terms,
            credential=credential,
            repeatable=request.method == "GET",  # which only reads (RFC 9110 section 9.2.1)
            target=keys.target_with(request.target, route, credential),
        )
        try:
            answered = _answered(reply, await _whole(reply), server, known)
            return Answer(result=keys.without(answered, credential))
        finally:
            reply.close()

    def _read(self, entry: Entry) -> _Known:
        key = (entry.object, entry.digest)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = _known(entry)
        return known

    def _route(self, server: Upstream) -> Route:
        """Made once per registration; a snapshot's servers are constants, so the very same object means no change."""
        known = self._routes.get(server.slug)
        if known is None or known[0] is not server:
            known = self._routes[server.slug] = (server, route_to(server))
        return known[1]


def _known(entry: Entry) -> _Known:
    plan = plan_of(entry.raw)
    if plan is None:
        raise UpstreamBroken("the tool's definition does not say how it is called; refresh it", Trouble.REFUSED)
    definition = msgspec.json.decode(entry.raw)
    return _Known(entry, plan, "outputSchema" in definition, frozenset(_names(definition.get("inputSchema"))))


def _names(schema: Any) -> set[str]:
    found: set[str] = set()
    if isinstance(schema, dict):
        properties = schema.get("properties")
        found |= properties.keys() if isinstance(properties, dict) else set()
        for inner in schema.values():
            found |= _names(inner)
    elif isinstance(schema, list):
        for inner in schema:
            found |= _names(inner)
    return found


async def _whole(reply: Reply) -> bytes:
    """All of it; an event stream too, within the same bounds."""
    if not reply.stream:
        return reply.body()
    pieces: list[bytes] = []
    while piece := await reply.more():
        pieces.append(piece)
    return b"".join(pieces)


def _answered(reply: Reply, body: bytes, server: Upstream, known: _Known) -> bytes:
    """The result; raises what an API's status means where that is no answer to the call."""
    status = reply.status
    if 200 <= status < 300:
        return results.result_of(reply, body, known.plan, server.slug, promised=known.promised)
    if status in {401, 429, 502, 503, 504} or (status == 403 and b"insufficient_scope" in reply.challenge):
        raise refusal(reply)
    if 300 <= status < 400:
        return results.refused("The API answers with another address, which is not followed.", status)
    if status >= 500:
        return results.refused(f"The API failed (HTTP {status}). Whether it has acted cannot be told.", status)
    return results.refused(refusals.sentence(reply, known.names), status)
