"""The ids under which clients know tasks (SEP-2663): the server's own id, sealed with what it may be used for.

A task id works as a key to its result, so ours opens nothing but the task, for the principal who began it, at the mount
where it was begun, and only until it ends. Any process can read it, and no table holds it.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import time
from typing import TYPE_CHECKING, Any, Final

import msgspec

from authz.tokens.claims import cuttable, is_cut
from gateway.credentials.shelf import ended
from registry.errors import SecretRefused

if TYPE_CHECKING:
    from authz.tokens.cutoffs import CutOffs
    from gateway.portal.calls.targets import Target
    from gateway.portal.exchange import Exchange
    from registry.catalogue import Credential

KEPT: Final = 1024  # bytes of arguments that go along, to be judged by; the id travels in a header
LONGEST: Final = 8192  # characters of an id
LIFE_MOST: Final = 30 * 24 * 3600  # seconds
LIFE_UNSAID: Final = 7 * 24 * 3600  # of a task whose server names no end
GRACE: Final = 60  # seconds after the end that the server named

_encode: Final = msgspec.msgpack.Encoder().encode


class Bond(msgspec.Struct, array_like=True, frozen=True):
    """What a task ends with, besides its time: the token that let it begin, as far as that can be cut off, and the
    account at its server, with whose it is and since when it was looked up; none where all calls go with one value.
    """

    claims: dict[str, Any]
    account: str = ""
    subject: str = ""
    since: float = 0.0


class Handle(msgspec.Struct, array_like=True, frozen=True):
    """`tool` is the exposed name; `arguments` are empty where they were too long to go along. `ttl` is what was agreed
    with the client, in milliseconds, where that is not what its server says. `kept` names a result that we keep
    ourselves: its server ran no task.
    """

    task: str
    server: str
    tool: str
    arguments: bytes
    until: int
    ttl: int | None = None
    kept: str = ""
    bond: Bond | None = None  # there was none before tasks ended with it


_decode: Final = msgspec.msgpack.Decoder(Handle).decode


def bond(exchange: Exchange, credential: Credential | None) -> Bond:
    """What a task ends with that is begun now."""
    claims = cuttable(exchange.principal.claims)
    if credential is None or not credential.since:
        return Bond(claims)
    return Bond(claims, credential.account, credential.subject, credential.since)


def of(target: Target, task: str, ttl_ms: object, bond: Bond, kept: str = "") -> Handle:
    """What a task of this call is known by."""
    arguments = target.arguments if len(target.arguments) <= KEPT else b""
    agreed = ttl_ms if isinstance(ttl_ms, int) else None
    return Handle(task, target.server, target.name, arguments, life(ttl_ms), agreed, kept, bond)


def life(ttl_ms: object) -> int:
    """Until when a task that is begun now can be asked about."""
    seconds = ttl_ms // 1000 + GRACE if isinstance(ttl_ms, int) and ttl_ms >= 0 else LIFE_UNSAID
    return int(time.time()) + min(seconds, LIFE_MOST)


def owner(exchange: Exchange) -> str:
    """Whose tasks these are, as a name that says nothing."""
    return hmac.digest(exchange.world.office.vault.key("tasks"), _context(exchange), "sha256")[:16].hex()


def seal(exchange: Exchange, handle: Handle) -> str:
    """Another text each time, which nobody can guess or alter."""
    sealed = exchange.world.office.vault.wrap(_context(exchange), _encode(handle))
    return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()


def opened(exchange: Exchange, given: str) -> Handle | None:
    """The handle, if it is this principal's, of this mount, not too old, and nothing was ended that it hangs on."""
    if len(given) > LONGEST:
        return None
    try:
        sealed = base64.b64decode(given.encode() + b"=" * (-len(given) % 4), altchars=b"-_", validate=True)
        handle = _decode(exchange.world.office.vault.unwrap(_context(exchange), sealed))
    except (binascii.Error, ValueError, SecretRefused, msgspec.DecodeError):
        return None
    return handle if handle.until > time.time() and not _is_over(handle, exchange.snapshot.cutoffs) else None


def _is_over(handle: Handle, cutoffs: CutOffs) -> bool:
    bond = handle.bond
    if bond is None or not cutoffs.moments:
        return False
    return is_cut(bond.claims, cutoffs) or bool(bond.since and ended(cutoffs, handle.server, bond.subject, bond.since))


def _context(exchange: Exchange) -> bytes:
    principal = exchange.principal
    acting = principal.actor.subject if principal.actor is not None else ""
    who = [principal.issuer, principal.subject, principal.client, acting, exchange.mount.path]
    kind = b"task\x00" if exchange.modern else b"legacy-task\x00"  # what is known of one differs
    return kind + msgspec.json.encode(who)
