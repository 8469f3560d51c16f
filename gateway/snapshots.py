"""The snapshot that calls are judged by, kept fresh: watch the epochs, build what moved beside it, swap it whole."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import SQLAlchemyError

from authz.clients.known import load_clients
from authz.errors import AuthzError
from authz.people.accounts import load_members
from authz.policy.policy import load_policy
from authz.tokens.cutoffs import load_cutoffs
from authz.tokens.keys import load_keys
from authz.tokens.personal import load_personal
from gateway import clock
from registry.catalogue.assembling import load_catalogue
from registry.credentials import connections
from registry.credentials.authenticating import load_credentials
from registry.database import NOTIFY_CHANNEL, Concern
from registry.errors import DatabaseReplaced, RegistryError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from sqlmodel import Session

    from authz.policy.policy import Policy
    from authz.principals import Member
    from authz.tokens.cutoffs import CutOffs
    from authz.tokens.keys import KeySet
    from authz.tokens.personal import Personal
    from gateway.office import Office
    from registry.catalogue import Catalogue, Credential

POLL = 0.25  # seconds between looks at the epochs on SQLite: a revocation is felt well within a second
QUIET_POLL = 2.0  # the same on PostgreSQL, where NOTIFY wakes us and the poll only proves that the database lives
STALE = 60.0  # seconds without a look at the epochs after which calls stop

log = logging.getLogger("ostiary")


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """All that a call is judged by, immutable, swapped whole when an epoch moves.

    `members` is by id (the `sub` of a token) and holds only people and agents that are enabled; `clients` are the ids
    of the enabled OAuth clients; `personal` are the personal tokens by their hash, `credentials` the opened ones by
    server slug.
    """

    epoch: int
    catalogue: Catalogue
    policy: Policy
    keys: KeySet
    cutoffs: CutOffs
    members: Mapping[str, Member]
    clients: frozenset[str]
    personal: Mapping[str, Personal]
    credentials: Mapping[str, Credential]
    secrets: Sequence[str] = ()  # what is wrong with sealed ones, in words (T-92)


class Snapshots:
    """The current snapshot of this process. Read `current` once per call; it never changes under a reader."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._epochs: dict[str, int] = {}
        self._confirmed = time.monotonic()
        self.trouble = ""  # why the last look brought nothing, for /readyz
        self._wake = asyncio.Event()
        self._refreshing = asyncio.Lock()  # one build at a time, so that an older one never replaces a newer
        self._changed: asyncio.Future[Snapshot] | None = None
        self.current = self._build(None)

    def age(self) -> float:
        """Seconds since the database last confirmed that this snapshot is the newest."""
        return time.monotonic() - self._confirmed

    def fresh(self) -> bool:
        """Whether calls may be judged by `current`: the database may be away for 60 s, and the time has to be known."""
        return time.monotonic() - self._confirmed < STALE and not clock.moved()

    async def watch(self) -> None:
        """Follows the epochs until cancelled."""
        listening = asyncio.create_task(self._listen()) if self._office.database.is_postgresql else None
        try:
            while True:
                await self._pause()
                await self.refresh()
        finally:
            if listening is not None:
                listening.cancel()

    async def refresh(self) -> None:
        """One look at the epochs; builds and swaps when one has moved. What fails leaves the old snapshot in place."""
        async with self._refreshing:
            try:
                new = await asyncio.to_thread(self._rebuilt)
            except (SQLAlchemyError, AuthzError, RegistryError) as error:
                self.trouble = _in_words(error)
                log.warning("the snapshot could not be renewed: %s", type(error).__name__)
                return
            self.trouble = ""
            if new is not self.current:
                self.current = new
                self._tell(new)

    async def changes(self) -> AsyncIterator[Snapshot]:
        """Every snapshot from now on; a slow reader misses those in between, never the last."""
        last = self.current
        while True:
            if self.current is last:
                await self._next()
            last = self.current
            yield last

    def _rebuilt(self) -> Snapshot:
        asked = time.monotonic()
        if self._office.database.epochs() == self._epochs:
            self._confirmed = asked
            return self.current
        return self._build(self.current)

    def _build(self, old: Snapshot | None) -> Snapshot:
        with self._office.database.read() as session:
            started = time.monotonic()
            epochs = self._office.database.epochs()  # read first: what changes while we build is built again
            moved = {name for name, value in epochs.items() if self._epochs.get(name) != value}
            epoch = sum(epochs.values())
            parts = {name: load(session) for name, load in self._loaders(epoch, moved, old).items()}
        new = Snapshot(epoch=epoch, **parts) if old is None else replace(old, epoch=epoch, **parts)
        self._epochs, self._confirmed = epochs, started
        return new

    def _loaders(self, epoch: int, moved: set[str], old: Snapshot | None) -> dict[str, Callable[[Session], Any]]:
        """What to load anew: everything at first, later what hangs on a concern that moved."""
        vault, lines = self._office.vault, self._office.settings.allow_addresses
        loaders: dict[str, tuple[Concern, Callable[[Session], Any]]] = {
            "catalogue": (Concern.CATALOGUE, lambda session: load_catalogue(session, epoch, lines)),
            "credentials": (Concern.CATALOGUE, lambda session: load_credentials(session, vault)),
            "secrets": (Concern.CATALOGUE, lambda session: vault.problems(session, but=connections.KIND)),
            "policy": (Concern.POLICY, lambda session: load_policy(session, epoch)),
            "members": (Concern.PEOPLE, load_members),
            "clients": (Concern.PEOPLE, load_clients),
            "keys": (Concern.KEYS, lambda session: load_keys(session, vault)),
            "cutoffs": (Concern.CUTOFFS, load_cutoffs),
            "personal": (Concern.PERSONAL, load_personal),
        }
        return {name: load for name, (concern, load) in loaders.items() if old is None or concern in moved}

    async def _pause(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(QUIET_POLL if self._office.database.is_postgresql else POLL):
                await self._wake.wait()
        self._wake.clear()

    async def _listen(self) -> None:
        """PostgreSQL tells us of a change at once; when the line breaks, the poll goes on and we call again."""
        from psycopg import AsyncConnection, Error

        url = self._office.database.url.set(drivername="postgresql").render_as_string(hide_password=False)
        while True:
            with suppress(Error):
                async with await AsyncConnection.connect(url, autocommit=True) as connection:
                    await connection.execute(f"LISTEN {NOTIFY_CHANNEL}".encode())
                    async for _ in connection.notifies():
                        self._wake.set()
            await asyncio.sleep(1)

    def _tell(self, new: Snapshot) -> None:
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(new)
        self._changed = None

    async def _next(self) -> None:
        if self._changed is None:
            self._changed = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._changed)


def _in_words(error: Exception) -> str:
    """For /readyz, which anybody may ask: no text of a library."""
    if isinstance(error, SQLAlchemyError):
        return "it does not answer"
    return str(error) if isinstance(error, DatabaseReplaced) else "there is something in it that cannot be read"
