"""What becomes of connections while nobody looks: renewed in time, told of before they end, tidied when they did.

One process of an installation does it at a time. What it is late with a call does itself (`kept`).
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import TYPE_CHECKING, Final

from sqlalchemy.exc import SQLAlchemyError

from authz.ids import fresh_id
from gateway.credentials import CredentialUnavailable
from gateway.credentials.connections.accounts import tampered
from gateway.credentials.connections.deeds import tidy
from gateway.credentials.connections.renewing import STORED_WITHIN, renew_once
from gateway.credentials.connections.telling import note
from gateway.journal import GATEWAY, JournalDown
from gateway.notices import tell
from gateway.notices.webhook import Webhook
from registry import leases
from registry.catalogue.assembling import upstream_of
from registry.credentials import connection_states as states
from registry.credentials import connections
from registry.errors import AddressRefused, RegistryError, SecretRefused
from registry.servers import exception_lines
from registry.tables import ConnectionState, Server, ServerState

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.credentials.equipment import Equipment
    from registry.catalogue import Upstream
    from registry.tables import Connection

LOOK: Final = 5.0  # seconds between looks at what is due
LEASE: Final = 60.0  # so long nobody looks when the process that did is gone
BATCH: Final = 100  # connections of one server between two looks
AT_ONCE: Final = 16
OF_ONE_SERVER: Final = 2  # so that one whose authorization server hangs leaves room for the others
TENDED: Final = frozenset({ServerState.APPROVED, ServerState.SUBMITTED})  # of a suspended server nothing is asked

log = logging.getLogger("ostiary")


class Tending:
    """The background task of a serving process."""

    def __init__(self, equipment: Equipment) -> None:
        self._equipment = equipment
        self._database = equipment.office.database
        self._holder = fresh_id()
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="tending")
        self._lock = Lock()
        self._known: set[tuple[str, str]] = set()  # whatever waits or is worked on
        self._waiting: dict[str, deque[tuple[Connection, Callable[[Connection], None]]]] = {}
        self._working: dict[str, int] = {}  # threads, by server
        self._under_way: set[Future[None]] = set()
        self._webhook = Webhook(equipment.office, equipment.clock)
        self._delivering: Future[None] | None = None

    async def run(self) -> None:
        """Until cancelled."""
        try:
            while True:
                await asyncio.sleep(LOOK)
                try:
                    await asyncio.to_thread(self.look)
                except (SQLAlchemyError, JournalDown) as error:
                    log.warning("connections were not looked after: %s", type(error).__name__)
        finally:
            await self._finish()

    async def _finish(self) -> None:
        """What is being renewed is stored before the process ends; nothing new is begun."""
        with self._lock:
            self._waiting.clear()
        self._threads.shutdown(wait=False, cancel_futures=True)
        under_way = {asyncio.wrap_future(one) for one in tuple(self._under_way)}
        if under_way:
            await asyncio.wait(under_way, timeout=STORED_WITHIN)

    def look(self) -> None:
        """Whatever is due, if no other process sees to it. Renewals go on when it returns."""
        with self._database.read() as session:
            idle = not connections.any_to_tend(session)
        if idle or not leases.take(self._database, "connections", self._holder, LEASE):
            return
        self._renew_due()
        self._settle()
        self._warn_of_apps()
        self._tidy_ended()
        self._deliver()

    def _renew_due(self) -> None:
        """Some of each server, so that many of one keep none of another waiting."""
        with self._database.read() as session:
            rows = connections.due(session, self._equipment.clock(), BATCH)
        for row in rows:
            self._queue(row, self._renew)

    def _tidy_ended(self) -> None:
        with self._database.read() as session:
            rows = connections.ended_with_secrets(session, BATCH)
        for row in rows:
            self._queue(row, self._tidy)

    def _queue(self, row: Connection, act: Callable[[Connection], None]) -> None:
        """Few at a time of one server; never twice at a time for one connection."""
        key = (row.server, row.subject)
        with self._lock:
            waiting = self._waiting.setdefault(row.server, deque())
            if key not in self._known:
                self._known.add(key)
                waiting.append((row, act))
            if not waiting or self._working.get(row.server, 0) >= OF_ONE_SERVER:
                return
            self._working[row.server] = self._working.get(row.server, 0) + 1
        working = self._threads.submit(self._work, row.server)
        self._under_way.add(working)
        working.add_done_callback(self._under_way.discard)

    def _work(self, slug: str) -> None:
        """One after the other, until nothing of the server waits."""
        ended = False
        try:
            while (one := self._next(slug)) is not None:
                self._do(*one)
            ended = True
        finally:
            if not ended:  # by what nobody thought of: another thread goes on with the rest
                with self._lock:
                    self._working[slug] -= 1

    def _do(self, row: Connection, act: Callable[[Connection], None]) -> None:
        try:
            act(row)
        except (SQLAlchemyError, JournalDown, CredentialUnavailable) as error:
            log.warning("a connection at %s was not looked after: %s", row.server, type(error).__name__)
        finally:
            with self._lock:
                self._known.discard((row.server, row.subject))

    def _next(self, slug: str) -> tuple[Connection, Callable[[Connection], None]] | None:
        with self._lock:
            waiting = self._waiting.get(slug)
            if waiting:
                return waiting.popleft()
            self._waiting.pop(slug, None)
            self._working[slug] -= 1
            return None

    def _renew(self, row: Connection) -> None:
        upstream = self._upstream(row.server)
        if upstream is not None:
            self._renew_at(upstream, row)

    def _tidy(self, row: Connection) -> None:
        tidy(self._equipment, self._upstream(row.server), row)

    def _deliver(self) -> None:
        """What the webhook is to be told: beside the rest, for it may be slow."""
        if self._delivering is None or self._delivering.done():
            self._delivering = self._threads.submit(self._webhook.deliver)

    def _renew_at(self, upstream: Upstream, row: Connection) -> None:
        office = self._equipment.office
        try:
            with self._database.read() as session:
                tokens = connections.tokens_of(session, office.vault, row)
        except SecretRefused:
            tampered(self._equipment, upstream, row)
            return
        renew_once(self._equipment, upstream, row, tokens)

    def _settle(self) -> None:
        """What has run out, or soon will, is so from now on; each is told of once."""
        now = self._equipment.clock()
        with self._database.read() as session:
            rows = connections.ending(session, now + states.WARNING)
        for row in rows:
            after = states.settled(connections.standing(row), now)
            if after.state != row.state or (after.state is ConnectionState.EXPIRING and after.warned_at is None):
                self._say(row, now)

    def _say(self, row: Connection, now: float) -> None:
        with self._database.change() as session:
            after = connections.step(session, row, lambda one: states.warned(states.settled(one, now), now))
            if after is None:
                return
            if after.state == ConnectionState.EXPIRING:
                note(session, "connection.expiring", self._equipment.office, after, why=after.why)
            elif after.state == ConnectionState.NEEDS_RECONNECT:
                note(session, "connection.failed", self._equipment.office, after, why=after.why)

    def _warn_of_apps(self) -> None:
        """The secret of our own app at an authorization server ends for everybody at once."""
        office, now = self._equipment.office, self._equipment.clock()
        with self._database.read() as session:
            if not connections.apps_ending(session, now + states.WARNING):
                return
        with self._database.change() as session:
            for app in connections.apps_ending(session, now + states.WARNING):
                app.warned_at = now
                session.add(app)
                facts = {"server": app.server, "issuer": app.issuer, "ends_at": app.secret_until}
                session.flush()
                office.journal.note("connection.app_expiring", who=GATEWAY, **facts)
                tell(session, office.settings.webhook_url, "connection.app_expiring", facts, now)

    def _upstream(self, slug: str) -> Upstream | None:
        """The server as it may be reached now, if it is one that we still have to do with."""
        with self._database.read() as session:
            server = session.get(Server, slug)
            lines = [*self._equipment.office.settings.allow_addresses, *exception_lines(session)]
        if server is None or server.state not in TENDED:
            return None
        try:
            return upstream_of(server, lines)
        except (AddressRefused, RegistryError):
            return None
