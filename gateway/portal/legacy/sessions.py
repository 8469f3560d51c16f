"""Sessions of legacy clients: the id says everything that never changes, so that any process can read it.

It is sealed to the principal and the mount (MCP 2025-11-25, "Session management": an id is no authentication). What
does change lies in the rendezvous and is looked at again after a moment.
"""

from __future__ import annotations

import base64
import binascii
import time
from os import urandom
from typing import TYPE_CHECKING, Any, Final

import msgspec

from gateway.portal.wire import INVALID_PARAMS
from gateway.problems import Problem, unavailable
from gateway.rendezvous import RendezvousDown
from registry.errors import SecretRefused

if TYPE_CHECKING:
    from authz.principals import Principal
    from gateway.world import World
    from registry.catalogue import Mount

LIFE: Final = 24 * 3600  # seconds; then the client shakes hands again
MOMENT: Final = 2.0  # seconds for which a session's state may be remembered: a DELETE elsewhere is felt then
OPENED: Final = 4096  # sessions of which the opened id is remembered
TOLD_LIMIT: Final = 2048  # bytes of capabilities and of client info that fit into a header with the rest


class Session(msgspec.Struct, frozen=True, gc=False):
    """What was agreed at the handshake."""

    id: str
    version: str
    capabilities: bytes
    client_info: bytes
    issued: int

    @property
    def ends(self) -> float:
        """When the client has to shake hands again."""
        return self.issued + LIFE

    def declares(self, *path: str) -> bool:
        """Whether the client said that it can do this."""
        node = msgspec.json.decode(self.capabilities)
        for name in path:
            node = node.get(name) if isinstance(node, dict) else None
        return node is not None


class State(msgspec.Struct, gc=False):
    """What may change in a session."""

    level: str = ""
    uris: list[str] = msgspec.field(default_factory=list)
    gone: bool = False
    tasks: bool = False  # it has begun some


_sealed: Final = msgspec.msgpack.Encoder()
_session: Final = msgspec.msgpack.Decoder(Session)
_state: Final = msgspec.json.Decoder(State)


class Sessions:
    """All sessions of all legacy clients, as one process meets them."""

    def __init__(self, world: World) -> None:
        self._vault = world.office.vault
        self._rendezvous = world.rendezvous
        self._opened: dict[tuple[bytes, bytes], Session] = {}
        self._states: dict[str, tuple[float, State]] = {}

    def begin(self, principal: Principal, mount: Mount, version: str, capabilities: bytes, info: bytes) -> bytes:
        """A new session's id, visible ASCII."""
        if len(capabilities) > TOLD_LIMIT:
            raise Problem(400, INVALID_PARAMS, f"params.capabilities is larger than {TOLD_LIMIT} bytes.")
        info = info if len(info) <= TOLD_LIMIT else b""
        session = Session(urandom(16).hex(), version, capabilities, info, int(time.time()))
        sealed = self._vault.wrap(_context(principal, mount), _sealed.encode(session))
        return base64.urlsafe_b64encode(sealed).rstrip(b"=")

    def open(self, header: bytes, principal: Principal, mount: Mount) -> Session:
        """The session, if it is this principal's; somebody else's is not there (404, as if unknown)."""
        context = _context(principal, mount)
        session = self._opened.get((header, context))
        if session is None:
            session = self._unseal(header, context)
            if len(self._opened) >= OPENED:
                self._opened.clear()
            self._opened[header, context] = session
        if session.ends < time.time():
            raise gone()
        return session

    def _unseal(self, header: bytes, context: bytes) -> Session:
        try:
            sealed = base64.b64decode(header + b"=" * (-len(header) % 4), altchars=b"-_", validate=True)
            return _session.decode(self._vault.unwrap(context, sealed))
        except (binascii.Error, ValueError, SecretRefused, msgspec.DecodeError) as error:
            raise gone() from error

    async def state(self, session: Session) -> State:
        """What holds in the session now. Raises Problem 404 when it was ended."""
        known = self._states.get(session.id)
        if known is None or known[0] < time.monotonic():
            state = await self._fetch(session)
        else:
            state = known[1]
        if state.gone:
            raise gone()
        return state

    def calm(self, session: Session) -> bool:
        """Whether it is known, as freshly as it has to be, that it goes on and that nothing is set in it."""
        known = self._states.get(session.id)
        if known is None or known[0] < time.monotonic():
            return False
        return not known[1].gone and not known[1].level

    async def _fetch(self, session: Session) -> State:
        try:
            raw = await self._rendezvous.get(_key(session))
        except RendezvousDown as error:
            raise unavailable("The sessions cannot be looked up; try again.") from error
        state = State() if raw is None else _state.decode(raw)
        self._remember(session, state)
        return state

    async def change(self, session: Session, **changes: Any) -> State:
        """Leaves the changed state where every process finds it."""
        state = msgspec.structs.replace(await self._fetch(session), **changes)
        left = max(1.0, session.ends - time.time())
        try:
            await self._rendezvous.put(_key(session), msgspec.json.encode(state), left)
        except RendezvousDown as error:
            raise unavailable("The session cannot be changed; try again.") from error
        self._remember(session, state)
        return state

    def _remember(self, session: Session, state: State) -> None:
        if len(self._states) >= OPENED:
            self._states.clear()
        self._states[session.id] = (time.monotonic() + MOMENT, state)


def gone() -> Problem:
    return Problem(404, -32600, "There is no such session (any more); start with initialize.")


def _key(session: Session) -> str:
    return f"session/{session.id}"


def _context(principal: Principal, mount: Mount) -> bytes:
    who = [principal.issuer, principal.subject, principal.client, mount.path]
    return b"legacy-session\x00" + msgspec.json.encode(who)
