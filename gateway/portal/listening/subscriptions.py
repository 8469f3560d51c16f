"""Streams of changes, and subscriptions/listen of 2026-07-28; what is older is in `legacy_stream`.

A stream lives no longer than the token it was opened with, and asks at every change whether that token still counts.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import msgspec

from authz.policy.policy import Action
from gateway.credentials.connections.news import Connected
from gateway.portal.calls.refusing import note_refusal
from gateway.portal.calls.relay import notification
from gateway.portal.calls.targets import aimed, decided, invalid, unknown
from gateway.portal.headers import SUBSCRIPTION_KEY
from gateway.portal.lasting import judged_by
from gateway.portal.listening.hearing import UPDATED, hear
from gateway.portal.listening.hub import TooMany
from gateway.portal.listening.task_news import following, wished
from gateway.problems import Problem
from gateway.upstream.refreshing.news import ServerLists
from registry.tables import Kind

if TYPE_CHECKING:
    from gateway.portal.exchange import Exchange
    from gateway.portal.listening.hub import Hub, Letter, Listener
    from gateway.portal.listing import Lists, View

URI_LIMIT: Final = 200
GATHER: Final = 1.0  # seconds in which what servers say of their lists is said once
SOONEST: Final = 0.05  # seconds

# What a client may ask to hear → the list it is about, the notification that says so.
LISTS: Final = {
    "toolsListChanged": (("tools/list",), "notifications/tools/list_changed"),
    "promptsListChanged": (("prompts/list",), "notifications/prompts/list_changed"),
    "resourcesListChanged": (("resources/list", "resources/templates/list"), "notifications/resources/list_changed"),
}

_encode: Final = msgspec.json.Encoder().encode


@dataclass(slots=True)
class Stream:
    """One stream of changes and what was last told on it. `tag` is the `_meta` that every frame carries."""

    exchange: Exchange
    lists: Lists
    wanted: tuple[str, ...]
    uris: frozenset[str]
    tag: bytes
    marks: dict[str, bytes]
    told: dict[str, float] = field(default_factory=dict)

    async def follow(self, listener: Listener) -> None:
        """Until the token ends, is cut off, or the client falls too far behind."""
        while not listener.ended:
            now = time.time()
            if now >= self.exchange.principal.expires_at:
                return
            try:
                async with asyncio.timeout(self._until() - now):
                    letter = await listener.letters.get()
            except TimeoutError:
                await self._lists_changed()  # a rule, a grant or a server's grace has ended
                continue
            if not await self.tell(letter):
                return

    def _until(self) -> float:
        """When this must be looked at again, whatever happens: what may be seen can change with time alone."""
        ends = [view.until for name in self.wanted for view in self._views(name)]
        return max(min((self.exchange.principal.expires_at, *ends)), time.time() + SOONEST)

    async def tell(self, letter: Letter) -> bool:
        """Passes on what concerns this client; whether its stream goes on. By old news nothing is told (T-85)."""
        if not self.exchange.world.snapshots.fresh():
            return False
        if isinstance(letter, ServerLists):
            await self._server_says(letter)
            return True
        if isinstance(letter, Connected):
            await self.connected(letter)
            return True
        if isinstance(letter, str):
            if letter in self.uris:
                await self.say(UPDATED, {"uri": letter})
            return True
        judged = judged_by(self.exchange, letter, in_time=True)
        if judged is None:
            return False
        self.exchange = judged
        await self._lists_changed()
        return True

    async def connected(self, news: Connected) -> None:
        """Somebody's account is connected. Modern clients call again by themselves, and are told nothing."""

    async def _lists_changed(self) -> None:
        for name, mark in self.look().items():
            if mark != self.marks.get(name):
                self.marks[name] = mark
                self.told[name] = time.monotonic()
                await self.say(LISTS[name][1], {})

    async def _server_says(self, said: ServerLists) -> None:
        """Only to who sees anything of that server in that list, and not while the same is fresh in its mind."""
        now = time.monotonic()
        for name in self.wanted:
            fresh = now - self.told.get(name, -GATHER) < GATHER
            if LISTS[name][1] in said.methods and not fresh and self._sees(said.server, name):
                self.told[name] = now
                await self.say(LISTS[name][1], {})

    def _sees(self, server: str, name: str) -> bool:
        return any(entry.server == server for view in self._views(name) for entry in view.entries)

    def look(self) -> dict[str, bytes]:
        """What the wanted lists look like now, to this principal."""
        return {name: b"".join(view.mark for view in self._views(name)) for name in self.wanted}

    def _views(self, name: str) -> list[View]:
        """Of one list; none while no server behind it can be reached, which changes again."""
        with suppress(Problem):
            return [self.lists.view(self.exchange, method) for method in LISTS[name][0]]
        return []

    async def say(self, method: str, params: dict[str, Any]) -> None:
        raw = {**params, "_meta": msgspec.Raw(self.tag)} if self.tag else params
        await self.exchange.reply.event(notification(method, _encode(raw)))


async def listen(exchange: Exchange, hub: Hub, lists: Lists) -> None:
    """subscriptions/listen: acknowledged first, every frame tagged with the request's id (MCP, Subscriptions)."""
    if not exchange.reply.streams:
        raise Problem(406, 0, "subscriptions/listen is answered with text/event-stream: accept it.")
    wanted, uris, tasks = _filter(exchange)
    tag = b'{"%s":%s}' % (SUBSCRIPTION_KEY.encode(), exchange.message.id)
    stream = Stream(exchange, lists, wanted, uris, tag, {})
    stream.marks = stream.look()
    record(exchange, uris)
    async with listening(exchange, hub, uris) as listener:
        await exchange.reply.open()
        granted: dict[str, Any] = dict.fromkeys(wanted, True)
        if uris:
            granted["resourceSubscriptions"] = sorted(uris)
        if tasks:
            granted["taskIds"] = list(tasks)
        await stream.say("notifications/subscriptions/acknowledged", {"notifications": granted})
        async with following(stream, tasks):
            await stream.follow(listener)
    await exchange.reply.event(
        b'{"jsonrpc":"2.0","id":%s,"result":{"resultType":"complete","_meta":%s}}' % (exchange.message.id, tag)
    )
    await exchange.reply.end()


class listening:  # noqa: N801 - reads as what it does
    """A listener of the hub that also hears the servers of `uris`."""

    def __init__(self, exchange: Exchange, hub: Hub, uris: frozenset[str]) -> None:
        self._exchange = exchange
        self._hub = hub
        self._uris = uris
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Listener:
        try:
            listener = self._stack.enter_context(self._hub.listener(self._exchange.principal.label))
        except TooMany as error:
            raise Problem(
                429, -32603, "Too many streams are open; close one.", headers=((b"retry-after", b"30"),)
            ) from error
        line = self._exchange.arrival.line
        if line is not None:
            line.when_stopping.add(listener.end)
            self._stack.callback(line.when_stopping.discard, listener.end)
        for server, uris in _by_server(self._exchange, self._uris).items():
            task = asyncio.create_task(hear(self._exchange, server, uris, listener))
            self._stack.callback(task.cancel)
        return listener

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()


def _by_server(exchange: Exchange, uris: frozenset[str]) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for uri in uris:
        entry = exchange.mount.resource(uri)
        if entry is not None:
            found.setdefault(entry.server, set()).add(uri)
    return {server: frozenset(own) for server, own in found.items()}


def _filter(exchange: Exchange) -> tuple[tuple[str, ...], frozenset[str], tuple[str, ...]]:
    """What of the wish can be granted: lists, resources and tasks. What the principal may not see is left out."""
    wish = exchange.message.value("notifications")
    if type(wish) is not dict:
        raise invalid("params.notifications must be an object.")
    uris = wish.get("resourceSubscriptions") or []
    if type(uris) is not list or len(uris) > URI_LIMIT or any(type(uri) is not str for uri in uris):
        raise invalid(f"resourceSubscriptions must be at most {URI_LIMIT} URIs.")
    seen: set[str] = set()
    for uri in uris:
        with suppress(Problem):
            seen.add(visible_uri(exchange, uri))
    return tuple(name for name in LISTS if wish.get(name) is True), frozenset(seen), wished(exchange, wish)


def record(exchange: Exchange, uris: frozenset[str]) -> None:
    """Before any of it leaves: what fits a template is the caller's own words, which a server is about to hear."""
    exchange.world.journal.note(
        "subscription",
        **exchange.asker,
        portal=exchange.mount.portal,
        method=exchange.message.method,
        resources=sorted(uris),
        epoch=exchange.snapshot.epoch,
        request_id=exchange.arrival.request_id,
        era=exchange.era,
    )


def visible_uri(exchange: Exchange, uri: object) -> str:
    """`uri`, if it is a resource that the principal may read; otherwise it does not exist."""
    if not isinstance(uri, str):
        raise invalid("params.uri must be a string.")
    entry = exchange.mount.resource(uri)
    target = aimed(Kind.RESOURCE, uri, entry, Action.READ, b"", uri, {})
    if entry is None or not decided(exchange, target):
        note_refusal(exchange, target, "unknown" if entry is None else "invisible")
        raise unknown(target)
    return uri
