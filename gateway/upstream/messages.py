"""JSON-RPC messages of servers: read strictly, their values kept as the bytes they were."""

from __future__ import annotations

import itertools
import secrets
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import UNSET, Raw, UnsetType

from gateway.upstream import UpstreamBroken, UpstreamBusy
from gateway.upstream.troubles import Trouble

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.egress.reply import Reply
    from gateway.upstream import UpstreamError

# Ids of our own (we are the sender toward a server). The random part keeps processes apart that share a legacy session;
# the whole stays below 2**53, which every JSON reader holds exactly.
next_id: Final[Callable[[], int]] = itertools.count((secrets.randbits(20) << 32) + 1).__next__

RETRY_AFTER_MOST = 60
ONLY_MODERN_SAY = frozenset({-32020, -32021, -32022})


class CredentialRefused(UpstreamBroken):
    """The server is well; what we hold for it is not, and it has not acted.

    `status` is 401 or 403, or 0 where we asked nobody; `challenge` is what the server said with it, which is for us
    alone (RFC 6750 section 3): it speaks of another resource than the caller knows.
    """

    def __init__(self, message: str, status: int = 0, challenge: bytes = b"") -> None:
        super().__init__(message)
        self.status = status
        self.challenge = challenge

    trouble = Trouble.CREDENTIAL


class NotTaken(UpstreamBroken):
    """The server did not take the request `method` for its form, as one of the other era does: it has not acted."""

    def __init__(self, refused: UpstreamError, method: str) -> None:
        super().__init__(str(refused), refused.trouble)
        self.method = method


class Message(msgspec.Struct):
    """A request, a notification or an answer; members that we do not know are left out of account."""

    id: Raw | UnsetType = UNSET
    method: str | UnsetType = UNSET
    params: Raw | UnsetType = UNSET
    result: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET


class Failure(msgspec.Struct):
    """A JSON-RPC error object; without an integer code and a text it is none."""

    code: int
    message: str
    data: Raw | UnsetType = UNSET


_message = msgspec.json.Decoder(Message)
_failure = msgspec.json.Decoder(Failure)
_members = msgspec.json.Decoder(dict[str, Raw])
_BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def parse(data: bytes) -> Message:
    """The one message in `data`; a batch is none (removed from the protocol in 2025-06-18)."""
    try:
        if not data.isascii():
            data.decode("utf-8")  # members kept raw are not looked into otherwise
        return _message.decode(data)
    except _BROKEN as error:
        raise UpstreamBroken("the server's answer is not a JSON-RPC message") from error


def members(value: bytes | Raw) -> dict[str, Raw]:
    """The members of a JSON object, each as its own bytes."""
    try:
        return _members.decode(value)
    except _BROKEN as error:
        raise UpstreamBroken("the server sent something that is not a JSON object") from error


def read(value: bytes | Raw, kind: Any) -> Any:
    """`value` decoded as `kind`."""
    try:
        return msgspec.json.decode(value, type=kind)
    except _BROKEN as error:
        raise UpstreamBroken("the server's answer does not have the form that the protocol gives it") from error


def failure(value: bytes | Raw) -> Failure:
    try:
        return _failure.decode(value)
    except _BROKEN as error:
        raise UpstreamBroken("the server's error is not a JSON-RPC error") from error


def joined(parts: dict[str, Any]) -> bytes:
    """The object with these members, each value as its bytes."""
    inside = b",".join(b"%s:%s" % (msgspec.json.encode(name), bytes(value)) for name, value in parts.items())
    return b"{%s}" % inside


def is_answer_to(message: Message, number: int) -> bool:
    """Whether this ends the exchange `number`; raises if it is an answer to anything else (T-75)."""
    if message.method is not UNSET:
        return False
    if message.id is UNSET or bytes(message.id) != b"%d" % number:
        raise UpstreamBroken("the server answered something that was not asked")
    if (message.result is UNSET) == (message.error is UNSET):
        raise UpstreamBroken("the server's answer must hold a result or an error, and not both")
    return True


def refusal(reply: Reply) -> UpstreamError:
    """What an HTTP status that is no answer means to the caller; never in the server's words (T-74)."""
    status = reply.status
    if status in {401, 403}:
        return CredentialRefused(
            "the server does not accept the credential kept for it; an administrator must mend the server's credential",
            status,
            reply.challenge,
        )
    if status in {429, 503}:
        return UpstreamBusy("the server asks to be left alone for a while; try again later", _pause(reply.retry_after))
    if 300 <= status < 400:
        return UpstreamBroken(
            "the server redirects, which is not followed; an administrator must register its new address"
        )
    return UpstreamBroken(
        f"the server answered with HTTP status {status}, which is no answer to the call", _trouble_of(status)
    )


def _trouble_of(status: int) -> Trouble:
    if status >= 500:
        return Trouble.FAILING
    return Trouble.REFUSED if status >= 400 else Trouble.PROTOCOL


def _pause(value: bytes) -> int:
    return min(max(int(value[:6]), 1), RETRY_AFTER_MOST) if value.isdigit() else 1
