"""Sessions with legacy servers (2025-11-25 and before): one per principal, server, credential and capabilities.

Sharing one between principals would leak what a server keeps in it. Other processes of ours find it through the
rendezvous, where it lies sealed; whoever finds it ended begins a new one, once.
"""

from __future__ import annotations

import asyncio
import hmac
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.egress.reply import Terms
from gateway.rendezvous import RendezvousDown
from gateway.upstream.legacy.handshake import Greeting, end, greet
from registry.errors import SecretRefused

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from authz.principals import Principal
    from gateway.egress.pool import Egress
    from gateway.egress.routes import Route
    from gateway.rendezvous import Rendezvous
    from gateway.upstream import Ended
    from gateway.upstream.legacy.beside import Beside
    from registry.catalogue import Credential
    from registry.secrets.vault import Vault

IDLE_LIFE = 600.0  # seconds without use after which a session is ended
SESSIONS_MOST = 16  # of one principal with one server, in one process
TOUCH_EVERY = 60.0  # how often its use is made known to other processes
PREFIX = "upstream-session:"
Key = tuple[Any, ...]  # see Sessions.key

SWEEP_TERMS = Terms(5.0, 5.0, 64 * 1024)


class _Parcel(msgspec.Struct):
    id: str
    version: str


@dataclass(slots=True, eq=False)
class Session:
    """An open session: the id that the server gave it (none, if it keeps no state), and what was set in it."""

    key: Key
    parcel: str  # under which name other processes find it
    id: bytes
    version: str
    route: Route
    credential: Credential | None
    log_level: str = ""
    used: float = 0.0
    touched: float = 0.0
    feeding: bool = False  # an event stream hangs on it
    watched: set[str] = field(default_factory=set)  # URIs subscribed to
    beside: Beside | None = None  # its stream for what is in answer to nothing, where somebody can be asked
    lines: bytes = field(init=False)

    def __post_init__(self) -> None:
        session = b"Mcp-Session-Id: %s\r\n" % self.id if self.id else b""
        self.lines = b"MCP-Protocol-Version: %s\r\n" % self.version.encode("ascii") + session


class Sessions:
    """The sessions this process knows. Opening one is done once for all who wait for it."""

    def __init__(self, egress: Egress, rendezvous: Rendezvous, vault: Vault) -> None:
        self._egress = egress
        self._rendezvous = rendezvous
        self._vault = vault
        self._secret = vault.key("upstream-session")
        self._open: dict[Key, Session] = {}
        self._opening: dict[Key, asyncio.Task[Session]] = {}

    @staticmethod
    def key(principal: Principal | None, route: Route, credential: Credential | None, capabilities: bytes) -> Key:
        """What tells sessions apart."""
        actor = principal.actor if principal is not None else None
        who = (principal.issuer, principal.subject) if principal is not None else ()
        acting = (actor.issuer, actor.subject) if actor is not None else ()
        held = (credential.subject, credential.account) if credential is not None else ()
        return (who, acting, route.key, route.address.target, held, capabilities)

    async def enter(self, key: Key, route: Route, credential: Credential | None, capabilities: bytes) -> Session:
        """The session under `key`, opened if need be."""
        at_hand = self.at_hand(key, credential)
        if at_hand is not None:
            return at_hand
        session = self._open.get(key)
        if session is None:
            session = await self._once(key, self._find_or_open(key, route, credential, capabilities))
        now = asyncio.get_running_loop().time()
        if now - session.touched > TOUCH_EVERY:
            session.touched = now
            await self._leave(session)
        return self._used(session, credential, now)

    def at_hand(self, key: Key, credential: Credential | None) -> Session | None:
        """The same, where there is nothing to wait for: it is open, and other processes know that it is used."""
        session = self._open.get(key)
        if session is None:
            return None
        now = asyncio.get_running_loop().time()
        return None if now - session.touched > TOUCH_EVERY else self._used(session, credential, now)

    @staticmethod
    def _used(session: Session, credential: Credential | None, now: float) -> Session:
        session.credential = credential  # of the same account, and perhaps newer
        session.used = now
        return session

    async def renew(self, gone: Session, capabilities: bytes) -> Session:
        """Another session in place of one that the server has ended."""
        _hush(gone)
        if self._open.get(gone.key) is gone:
            del self._open[gone.key]
        current = self._open.get(gone.key)
        if current is not None:
            return current
        return await self._once(gone.key, self._replace(gone, capabilities))

    def adopt(self, key: Key, greeting: Greeting, route: Route, credential: Credential | None) -> Session:
        """A session that was opened for another reason than a call."""
        session = Session(
            key, self._parcel_name(key), greeting.session, greeting.probed.protocol_version, route, credential
        )
        session.used = asyncio.get_running_loop().time()
        self._open[key] = session
        return session

    def known(self, key: Key) -> bool:
        return key in self._open

    async def sweep(self) -> None:
        """End what has been idle, unless another process used it meanwhile."""
        horizon = asyncio.get_running_loop().time() - IDLE_LIFE - TOUCH_EVERY
        for session in [one for one in self._open.values() if one.used < horizon and not one.feeding]:
            self._open.pop(session.key, None)
            _hush(session)
            if await self._fetch(session.parcel) is None:
                await end(self._egress, session.route, session.lines, session.credential, SWEEP_TERMS)

    def forsake(self, ended: Ended) -> list[Session]:
        """Those of accounts that have ended, which nobody finds here any more; the caller says so to their servers."""
        found = [one for one in self._open.values() if one.credential is not None and ended(one.credential)]
        for session in found:
            del self._open[session.key]
            _hush(session)
        return found

    async def close(self) -> None:
        """End all of them; of several processes that share one, the first does."""
        sessions, self._open = list(self._open.values()), {}
        for task in self._opening.values():
            task.cancel()
        await asyncio.gather(*(self.finish(session) for session in sessions if session.id))

    async def finish(self, session: Session) -> None:
        """Ends it at its server; of several processes that share one, the first does."""
        _hush(session)
        try:
            mine = await self._rendezvous.take(session.parcel)
        except RendezvousDown:
            return
        if mine is not None or session.feeding:
            await end(self._egress, session.route, session.lines, session.credential, SWEEP_TERMS)

    async def _once(self, key: Key, work: Coroutine[None, None, Session]) -> Session:
        task = self._opening.get(key)
        if task is None:
            task = self._opening[key] = asyncio.ensure_future(work)
            task.add_done_callback(lambda done: self._opened(key, done))
        else:
            work.close()
        return await asyncio.shield(task)  # one who gives up must not take the others along

    def _opened(self, key: Key, task: asyncio.Task[Session]) -> None:
        self._opening.pop(key, None)
        if not task.cancelled():
            task.exception()  # looked at, because all who waited may have given up

    async def _find_or_open(
        self, key: Key, route: Route, credential: Credential | None, capabilities: bytes
    ) -> Session:
        parcel = await self._fetch(self._parcel_name(key))
        if parcel is None:
            return await self._begin(key, route, credential, capabilities)
        return self._enter_found(key, parcel, route, credential)

    async def _replace(self, gone: Session, capabilities: bytes) -> Session:
        parcel = await self._fetch(gone.parcel)
        if parcel is not None and parcel.id.encode("ascii") != gone.id:
            return self._enter_found(gone.key, parcel, gone.route, gone.credential)
        return await self._begin(gone.key, gone.route, gone.credential, capabilities)

    def _enter_found(self, key: Key, parcel: _Parcel, route: Route, credential: Credential | None) -> Session:
        session = Session(key, self._parcel_name(key), parcel.id.encode("ascii"), parcel.version, route, credential)
        session.touched = session.used = asyncio.get_running_loop().time()
        self._open[key] = session
        return session

    async def _begin(self, key: Key, route: Route, credential: Credential | None, capabilities: bytes) -> Session:
        await self._make_room(key)
        greeting = await greet(self._egress, route, credential, capabilities)
        return self.adopt(key, greeting, route, credential)

    async def _make_room(self, key: Key) -> None:
        """Ends what one principal has used least, so that a client that is another each time opens no end of them."""
        mine = [one for one in self._open.values() if one.key[:4] == key[:4] and not one.feeding]
        mine.sort(key=lambda one: one.used)
        for session in mine[: max(0, len(mine) - SESSIONS_MOST + 1)]:
            self._open.pop(session.key, None)
            await self.finish(session)

    def _parcel_name(self, key: Key) -> str:
        """An HMAC: the name leaves this process, and a key says who has an account where."""
        *facts, capabilities = key
        text = msgspec.json.encode([*facts, capabilities.hex()])
        return PREFIX + hmac.digest(self._secret, text, "sha256").hex()

    async def _fetch(self, name: str) -> _Parcel | None:
        """What another process left; what cannot be had or opened is as good as absent: a new session is safe."""
        try:
            sealed = await self._rendezvous.get(name)
            if sealed is None:
                return None
            return msgspec.json.decode(self._vault.unwrap(name.encode("ascii"), sealed), type=_Parcel)
        except (RendezvousDown, SecretRefused, msgspec.DecodeError):
            return None

    async def _leave(self, session: Session) -> None:
        if not session.id:
            return
        value = msgspec.json.encode(_Parcel(session.id.decode("ascii"), session.version))
        try:
            sealed = self._vault.wrap(session.parcel.encode("ascii"), value)
            await self._rendezvous.put(session.parcel, sealed, IDLE_LIFE)
        except RendezvousDown:
            session.touched = 0.0  # tried again with the next call


def _hush(session: Session) -> None:
    if session.beside is not None:
        session.beside.close()
