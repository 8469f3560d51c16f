"""The credentials that one process has at hand, and the way to those that it has not."""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from sqlalchemy.exc import SQLAlchemyError

from gateway.credentials import Asked, ConnectionNeeded, CredentialUnavailable
from gateway.credentials.connections.renewing import STORED_WITHIN
from gateway.credentials.equipment import Equipment
from gateway.credentials.oauth.finding.challenges import INSUFFICIENT, read_challenge
from gateway.credentials.shelf import Entry, Shelf
from gateway.credentials.sources import Sources
from gateway.running import as_task
from registry.addresses import exception_line
from registry.tables import Auth, Transport

if TYPE_CHECKING:
    from authz.principals import Principal
    from gateway.credentials import Held, Key
    from gateway.identity.providers import Providers
    from gateway.office import Office
    from gateway.snapshots import Snapshot
    from gateway.upstream.messages import CredentialRefused
    from registry.catalogue import Credential, Upstream

THREADS: Final = 12  # of their own: an authorization server that hangs holds nothing else up
AT_ONCE: Final = 4  # of one server
PATIENCE: Final = 40.0  # seconds that a call waits for one
HOLD: Final = 2.0  # seconds for which an attempt in vain answers for the next

log = logging.getLogger("ostiary")


class Credentials:
    """Everything is used on one event loop, except `obtain_now`, which is for threads."""

    def __init__(self, office: Office, providers: Providers | None = None) -> None:
        self.equipment = Equipment(office, providers)
        self._sources = Sources(self.equipment)
        self._shelf = Shelf()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="credentials")
        self._flights: dict[tuple[object, ...], asyncio.Task[Entry]] = {}
        self._gates: dict[str, asyncio.Semaphore] = {}
        self._vain: dict[Key, tuple[float, str]] = {}

    def at_hand(
        self, snapshot: Snapshot, upstream: Upstream, principal: Principal | None, object_: str = ""
    ) -> Credential | None:
        """What can be used without asking anybody. Asks neither the database nor anything else."""
        fixed = snapshot.credentials.get(upstream.slug)
        if fixed is not None or upstream.auth is Auth.NONE:
            return fixed
        asked = Asked(upstream=upstream, principal=principal, object=object_)
        key, now = asked.key, time.time()
        entry = self._shelf.find(key, upstream, snapshot.cutoffs, now)
        if entry is None or entry.credential.subject != key.subject or entry.credential.scope != key.tool:
            return None
        if now >= entry.renew_at:  # still good: the next is had beside the calls
            self._flight(replace(asked, scopes=entry.scopes))
        return entry.credential

    async def obtain(self, upstream: Upstream, principal: Principal | None, object_: str = "") -> Credential | None:
        """What `at_hand` has not. None for a server that wants none. Raises CredentialUnavailable."""
        if upstream.auth is Auth.NONE:
            return None
        asked = Asked(upstream=upstream, principal=principal, object=object_)
        last = self._shelf.last(asked.key)
        return await self._obtained(asked if last is None else replace(asked, scopes=last.scopes))

    async def again(
        self,
        snapshot: Snapshot,
        upstream: Upstream,
        principal: Principal | None,
        used: Credential,
        refused: CredentialRefused,
        object_: str = "",
    ) -> Credential:
        """Another one than `used`, which the server has just refused; raises `refused` where none would do better.

        `snapshot` is the one of now: a call may have been under way for long, and much may have ended meanwhile.
        """
        asked = Asked(upstream=upstream, principal=principal, object=object_)
        last = self._shelf.last(asked.key)
        held = frozenset[str]() if last is None else last.scopes
        if refused.status == 401:
            better = self._shelf.find(asked.key, upstream, snapshot.cutoffs, time.time())
            if better is not None and better.credential.value != used.value:
                return better.credential  # somebody has been here before
            if last is not None and last.instead:
                raise refused
            return await self._obtained(replace(asked, scopes=held, instead_of=used))
        challenge = read_challenge(refused.challenge)
        if challenge.error != INSUFFICIENT or held >= set(challenge.scopes):
            raise refused
        return await self._obtained(replace(asked, scopes=held | set(challenge.scopes)))

    def obtain_now(self, asked: Asked) -> Credential | None:
        """The same for whoever is in a thread already: commands and refreshing.

        The gateway reads what a server offers with the shared account, if there is one; a person's it never uses, and
        where each person has their own it reads as nobody.
        """
        upstream = asked.upstream
        if upstream.auth is Auth.NONE:
            return None
        try:
            return self._obtain(asked).credential
        except ConnectionNeeded:
            settings = upstream.auth_settings
            if asked.principal is None and (settings.personal or settings.derived):
                return None
            raise

    async def finish(self) -> None:
        """What is being obtained is, and is stored, before the process ends: a refresh token may be good for one use.

        Nothing new is begun.
        """
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._flights:
            await asyncio.wait(set(self._flights.values()), timeout=STORED_WITHIN)
        self.close()

    def close(self) -> None:
        """Nothing new is begun."""
        for flight in self._flights.values():
            flight.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _obtained(self, asked: Asked) -> Credential:
        self._check_vain(asked)
        await as_task()
        try:
            async with asyncio.timeout(PATIENCE):
                entry = await asyncio.shield(self._flight(asked))
        except TimeoutError as late:
            name = asked.upstream.title or asked.upstream.slug
            raise CredentialUnavailable(f"a credential for {name} is not had in time; try again later") from late
        _check(asked, entry.credential)  # it was obtained for whoever asked first
        return entry.credential

    def _flight(self, asked: Asked) -> asyncio.Task[Entry]:
        """One for all who ask for the same. It goes on when nobody waits for it any more."""
        instead = b"" if asked.instead_of is None else asked.instead_of.value
        name = (asked.key, asked.scopes, instead, id(asked.upstream))
        flight = self._flights.get(name)
        if flight is None:
            flight = self._flights[name] = asyncio.create_task(self._fly(asked))
            flight.add_done_callback(lambda done: self._landed(name, done))
        return flight

    def _landed(self, name: tuple[object, ...], done: asyncio.Task[Entry]) -> None:
        del self._flights[name]
        if not done.cancelled():
            done.exception()  # whoever waited has it; if nobody did, it is no fault of the loop

    async def _fly(self, asked: Asked) -> Entry:
        since = time.time()
        try:
            async with self._gates.setdefault(asked.upstream.slug, asyncio.Semaphore(AT_ONCE)):
                held = await asyncio.get_running_loop().run_in_executor(self._threads, self._obtain, asked)
        except CredentialUnavailable as error:
            if not isinstance(error, ConnectionNeeded):  # what a person does is felt at once
                self._note_vain(asked.key, str(error))
            raise
        entry = Entry(
            credential=held.credential,
            upstream=asked.upstream,
            since=since,
            renew_at=held.renew_at,
            scopes=asked.scopes,
            instead=asked.instead_of is not None,
        )
        self._shelf.put(asked.key, entry)
        return entry

    def _obtain(self, asked: Asked) -> Held:
        since = time.time()
        try:
            held = self._sources.of(asked.upstream.auth).obtain(asked)
        except SQLAlchemyError as error:
            raise CredentialUnavailable("credentials cannot be had now: the database does not answer") from error
        _check(asked, held.credential)
        return replace(held, credential=replace(held.credential, since=since))

    def _check_vain(self, asked: Asked) -> None:
        until, why = self._vain.get(asked.key, (0.0, ""))
        if until > time.monotonic():
            raise CredentialUnavailable(why)

    def _note_vain(self, key: Key, why: str) -> None:
        now = time.monotonic()
        self._vain = {one: past for one, past in self._vain.items() if past[0] > now}
        self._vain[key] = (now + HOLD, why)


def _check(asked: Asked, given: Credential) -> None:
    """Nobody's word is taken for whose a credential is and where it may go: not a source's either (T-49, T-53)."""
    upstream = asked.upstream
    origin = upstream.url if upstream.transport is Transport.STDIO else exception_line(upstream.url)
    if (given.server, given.origin, given.subject, given.scope) != (upstream.slug, origin, asked.subject, asked.tool):
        log.error("a credential for %s was another's, or for another place, and was thrown away", upstream.slug)
        raise CredentialUnavailable(f"the credential for {upstream.title or upstream.slug} cannot be used")
