"""Keeping the catalogue true: one process at a time asks every server what it offers, and stores what it saw.

Every `refresh_interval`, when a server says that a list changed, and when kicked. Nothing here runs on the path of a
call; database work is done in threads. What differs from its pin is hidden by the very transaction that stores it.
"""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from gateway.credentials import Asked, CredentialTampered, CredentialUnavailable
from gateway.journal import GATEWAY, JournalDown
from gateway.notices import tell_of_look
from gateway.rendezvous import RendezvousDown
from gateway.upstream import UpstreamBusy, UpstreamError
from gateway.upstream.messages import CredentialRefused
from gateway.upstream.openapi.describing import News, look, note
from gateway.upstream.refreshing.news import spread
from gateway.upstream.refreshing.reading import read_server
from gateway.upstream.remedies import remedy
from gateway.upstream.troubles import Trouble
from registry.catalogue.assembling import upstream_of
from registry.database import Concern
from registry.errors import AddressRefused, UnknownServer, WrongState
from registry.leases import give_back, take
from registry.observing import differs, failed, observe, screen_ahead, touch
from registry.servers import all_servers, exception_lines, find, suspend
from registry.tables import Auth, ServerState, Transport

if TYPE_CHECKING:
    from gateway.credentials.holding import Credentials
    from gateway.office import Office
    from gateway.upstream.upstreams import Upstreams
    from gateway.world import World
    from registry.catalogue import Credential, Upstream
    from registry.observing import Observation, Seen

LEASE = "refresh"
DOUBTS_APART = 5.0  # seconds: one that keeps answering badly is asked what it is no more often
AT_ONCE = 16  # servers asked at the same time
PATIENCE = 60.0  # seconds for all lists of one server
REFRESHED = frozenset({ServerState.SUBMITTED, ServerState.APPROVED})
UNREAD = "it shows what it offers to nobody without a credential, and we have none to read it with"
UNOPENABLE = "its credential does not open: it was changed, moved, put back, or sealed under another key"

log = logging.getLogger("ostiary")


class Refresher:
    """The task of a process that may be the one to refresh."""

    def __init__(self, world: World) -> None:
        self._office = world.office
        self._upstreams = world.upstreams
        self._credentials = world.credentials
        self._interval = world.settings.refresh_interval
        self._holder = os.urandom(8).hex()
        self._kicked: set[str] = set()
        self._wake = asyncio.Event()
        self._at_once = asyncio.Semaphore(AT_ONCE)
        self._following: dict[str, asyncio.Task[None]] = {}
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._again: set[str] = set()  # kicked while being asked
        self._said: dict[str, set[str]] = {}  # what servers said of their lists since they were last asked
        self._snapshots = world.snapshots
        self._rendezvous = world.rendezvous
        self._leading = False
        self._doubted: dict[str, float] = {}  # when each may be looked at, for that, again

    async def run(self) -> None:
        """Until cancelled."""
        self._upstreams.heed(self.doubt)
        watching = asyncio.create_task(self._watch())
        try:
            while True:
                await self._turn()
                await self._wait()
        finally:
            watching.cancel()
            await self._leave()

    def kick(self, slug: str) -> None:
        """Refresh this server soon."""
        self._kicked.add(slug)
        self._wake.set()

    def doubt(self, slug: str) -> None:
        """A call to this server failed as if it were another one than it was: look now, and not in half a minute."""
        loop = asyncio.get_running_loop()
        now, due = loop.time(), self._doubted.get(slug, 0.0)
        if due <= now + DOUBTS_APART:  # else it is about to be looked at
            self._doubted[slug] = max(now, due) + DOUBTS_APART
            loop.call_at(max(now, due), self.kick, slug)

    async def _turn(self) -> None:
        try:
            leading = await asyncio.to_thread(take, self._office.database, LEASE, self._holder, self._interval + 15)
            slugs = await asyncio.to_thread(self._slugs) if leading else []
        except SQLAlchemyError as error:
            log.warning("servers cannot be refreshed now: the database does not answer (%s)", type(error).__name__)
            return
        self._leading = leading
        for slug in slugs:
            self._begin(slug)
        self._follow(set(slugs))

    async def _watch(self) -> None:
        """A server that was just approved, or has changed, is listened to from then on, and not in half a minute."""
        known = self._snapshots.current.catalogue.upstreams
        async for snapshot in self._snapshots.changes():
            upstreams = snapshot.catalogue.upstreams
            for slug in {slug for slug, upstream in upstreams.items() if _other(upstream, known.get(slug))}:
                if self._leading:
                    self._unfollow(slug)
                    self.kick(slug)
            known = upstreams

    async def _wait(self) -> None:
        """Until the next round; what is kicked in between is refreshed at once, at most once a second."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._interval
        while loop.time() < until:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(until):
                    await self._wake.wait()
            self._wake.clear()
            kicked, self._kicked = self._kicked, set()
            for slug in kicked:
                self._again.add(slug)
                self._begin(slug)
            if self._leading:
                self._follow(self._following.keys() | kicked)
            if kicked:
                await asyncio.sleep(1)

    def _begin(self, slug: str) -> None:
        """Asks a server in a task of its own, so that a slow one keeps no other waiting; never twice at a time."""
        if slug not in self._asking:
            self._again.discard(slug)
            self._asking[slug] = task = asyncio.create_task(self._refresh(slug))
            task.add_done_callback(lambda _: self._ended(slug))

    def _ended(self, slug: str) -> None:
        del self._asking[slug]
        if slug in self._again:
            self.kick(slug)

    async def _refresh(self, slug: str) -> None:
        async with self._at_once:
            try:
                said = self._said.pop(slug, set())
                await refresh(self._office, self._upstreams, self._credentials, slug)
                if said:
                    await spread(self._rendezvous, slug, said)
            except (SQLAlchemyError, JournalDown, UnknownServer, RendezvousDown) as error:
                log.warning("%s could not be refreshed: %s", slug, type(error).__name__)

    def _slugs(self) -> list[str]:
        with self._office.database.read() as session:
            return [server.slug for server in all_servers(session) if server.state in REFRESHED]

    def _follow(self, slugs: set[str]) -> None:
        """Listens to the servers that were just refreshed, and to no others."""
        for slug in self._following.keys() - slugs:
            self._unfollow(slug)
        for slug in slugs:
            task = self._following.get(slug)
            if task is None or task.done():
                self._following[slug] = asyncio.create_task(self._hear(slug))

    def _unfollow(self, slug: str) -> None:
        task = self._following.pop(slug, None)
        if task is not None:
            task.cancel()

    async def _hear(self, slug: str) -> None:
        """A server that says that a list changed is asked at once; one that says nothing is asked in time."""
        with suppress(UpstreamError, AddressRefused, SQLAlchemyError, UnknownServer):
            server, opened = await asyncio.to_thread(reach, self._office, self._credentials, slug)
            if any(isinstance(one, dict) and one.get("listChanged") for one in server.capabilities.values()):
                async for event in self._upstreams.events(server, None, frozenset(), opened):
                    self._said.setdefault(slug, set()).add(event.method)
                    self.kick(slug)

    async def _leave(self) -> None:
        self._again.clear()
        for task in (*self._following.values(), *self._asking.values()):
            task.cancel()
        with suppress(SQLAlchemyError):
            await asyncio.to_thread(give_back, self._office.database, LEASE, self._holder)


def _other(upstream: Upstream, before: Upstream | None) -> bool:
    """Whether what a server is listened to with has changed, or what it says that it tells of."""
    if before is None:
        return True
    return (upstream.url, upstream.era, upstream.capabilities) != (before.url, before.era, before.capabilities)


async def refresh(
    office: Office, upstreams: Upstreams, credentials: Credentials, slug: str, *, who: str = GATEWAY
) -> Observation | None:
    """Reads one server and stores what was seen. None when it could not be read, which is stored too."""
    auth = Auth.NONE
    try:
        server, opened = await asyncio.to_thread(reach, office, credentials, slug)
        auth = server.auth
        async with asyncio.timeout(PATIENCE):
            news = await _read_renewed(office, upstreams, credentials, server, opened)
    except CredentialTampered:
        await asyncio.to_thread(_give_up, office, slug)
        return None
    except CredentialUnavailable as error:
        await asyncio.to_thread(_store_failure, office, slug, str(error), error.trouble)
        return None
    except CredentialRefused as refused:
        words = _refused(refused, server, opened)
        await asyncio.to_thread(_store_failure, office, slug, *words)
        return None
    except UpstreamBusy:
        return None  # we are the ones who leave it alone: that says nothing new about it
    except (UpstreamError, AddressRefused, TimeoutError) as error:
        await asyncio.to_thread(_store_failure, office, slug, *explain(error, slug, auth))
        return None
    observation = await asyncio.to_thread(store, office, slug, news.seen, who)
    await asyncio.to_thread(note, office, slug, news)
    return observation


async def _read_renewed(
    office: Office, upstreams: Upstreams, credentials: Credentials, server: Upstream, opened: Credential | None
) -> News:
    """Once more with another credential where the server refuses the one that it is sent; not again at each look."""
    try:
        return await _read(office, upstreams, server, opened)
    except CredentialRefused as refused:
        if opened is None or refused.status != 401 or server.trouble == Trouble.CREDENTIAL:
            raise
        asked = Asked(upstream=server, principal=None, instead_of=opened)
        other = await asyncio.to_thread(credentials.obtain_now, asked)
        if other is None or other.value == opened.value:
            raise
        return await _read(office, upstreams, server, other)


async def _read(office: Office, upstreams: Upstreams, server: Upstream, opened: Credential | None) -> News:
    if server.transport is Transport.OPENAPI:
        return await look(office, upstreams, server, opened)
    return News(await read_server(upstreams, server, opened))


def reach(office: Office, credentials: Credentials, slug: str) -> tuple[Upstream, Credential | None]:
    """A server as it may be reached now, with what we authenticate with when we read what it offers.

    Raises AddressRefused, UnknownServer or CredentialUnavailable.
    """
    upstream = reachable(office, slug)
    return upstream, credentials.obtain_now(Asked(upstream=upstream, principal=None))


def reachable(office: Office, slug: str) -> Upstream:
    """A server as it may be reached now."""
    with office.database.read() as session:
        server = find(session, slug)
        lines = [*office.settings.allow_addresses, *exception_lines(session)]
        return upstream_of(server, lines)


def store(office: Office, slug: str, seen: Seen, who: str) -> Observation | None:
    """One transaction if there is news, otherwise just the time of the look."""
    with office.database.read() as session:
        news = differs(session, slug, seen)
    if not news:
        with office.database.change() as session:
            touch(session, slug)
        return None
    ahead = screen_ahead(office.database, slug, seen)
    with office.change("server.observed", Concern.CATALOGUE, who=who, server=slug) as (session, facts):
        observation = observe(session, slug, seen, ahead)
        facts.update(observation.facts())
        tell_of_look(session, office.settings.webhook_url, slug, observation)
    return observation


def _refused(refused: CredentialRefused, server: Upstream, used: Credential | None) -> tuple[str, Trouble]:
    """It does not accept what was sent, or wants something where nothing could be."""
    if used is not None:
        return explain(refused, server.slug, server.auth)
    trouble = Trouble.CREDENTIAL if server.auth is Auth.NONE else Trouble.NOT_CONNECTED
    return f"{UNREAD}; {remedy(trouble, server.slug, server.auth)}", trouble


def explain(error: Exception, slug: str, auth: str) -> tuple[str, Trouble]:
    """What is wrong and what to do, in our words; and of what kind it is."""
    if isinstance(error, AddressRefused):
        trouble, text = Trouble.ADDRESS, f"its address is refused: {error}"
    elif isinstance(error, UpstreamError):
        trouble, text = error.trouble, str(error)
    else:
        trouble, text = Trouble.SLOW, f"it did not answer all that it was asked in {PATIENCE:.0f} s"
    return f"{text}; {remedy(trouble, slug, auth)}", trouble


def _store_failure(office: Office, slug: str, failure: str, trouble: Trouble) -> None:
    with office.database.read() as session:
        server = find(session, slug)
        news = server.failing_since is None or server.failure != failure
    if news:
        facts = {"server": slug, "failure": failure, "trouble": str(trouble)}
        with office.change("server.failing", Concern.CATALOGUE, who=GATEWAY, **facts) as (session, _):
            failed(session, slug, failure, trouble)


def _give_up(office: Office, slug: str) -> None:
    """T-92: a server whose credential was tampered with is not talked to any more."""
    failure = f"{UNOPENABLE}; set it again with `ostiary server credential {slug}`"
    _store_failure(office, slug, failure, Trouble.CREDENTIAL)
    suspending = office.change("server.suspended", Concern.CATALOGUE, who=GATEWAY, server=slug, because=UNOPENABLE)
    with suppress(WrongState), suspending as (session, _):  # not approved, or suspended already
        suspend(session, slug, UNOPENABLE)
