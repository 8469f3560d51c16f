"""The state that a server leaves with a client between two rounds of one call (SEP-2322), in an envelope of ours.

With a shared credential all people look like one to the server, so it cannot tell whose state comes back. The envelope
is sealed to the principal, the definition and the request, lives ten minutes, and opens once. What a server left with
an account at it is not brought back under another.
"""

from __future__ import annotations

import base64
import binascii
import time
from hashlib import sha256
from os import urandom
from typing import TYPE_CHECKING, Final

import msgspec

from authz.tokens.cutoffs import Cut
from gateway.credentials.shelf import cut_key
from gateway.portal.wire import INVALID_PARAMS, RawMembers, join, members_of
from gateway.problems import INTERNAL_ERROR, Problem, unavailable
from gateway.rendezvous import RendezvousDown
from gateway.upstream import Answer
from registry.errors import SecretRefused

if TYPE_CHECKING:
    from gateway.portal.calls.targets import Target
    from gateway.portal.exchange import Exchange
    from gateway.upstream import Ask

LIFE: Final = 600  # seconds: how long a person may think
STATE: Final = "requestState"
RESPONSES: Final = "inputResponses"
METHODS: Final = frozenset(("tools/call", "prompts/get", "resources/read"))

_encode: Final = msgspec.json.Encoder(order="sorted").encode


class Waiting(msgspec.Struct, array_like=True):
    """A question of ours. `held` is what the client had answered its server by then, kept until it can leave; `used`
    tells the credential, if there was one, that was not good enough, and `scopes` and `why` say for what.
    """

    held: RawMembers = {}
    used: str = ""
    scopes: tuple[str, ...] = ()
    why: str = ""


class _State(msgspec.Struct, array_like=True):
    """`waiting` is there when the question was ours; `since` says when the server asked otherwise."""

    nonce: str
    expires: int
    upstream: msgspec.Raw
    waiting: Waiting | None = None
    since: float = 0.0


def asks_back(answer: Answer) -> bool:
    """Whether the result is a question. An escape could hide the word, so a body with one is looked at."""
    if b"input_required" not in answer.result and b"\\u" not in answer.result:
        return False
    try:
        members = members_of(answer.result)
        return "resultType" in members and msgspec.json.decode(members["resultType"]) == "input_required"
    except msgspec.DecodeError:
        return False


def wrap(exchange: Exchange, target: Target, answer: Answer) -> Answer:
    """The answer, with the state in it sealed if there is one."""
    if not answer.result or not asks_back(answer):
        return answer
    members = members_of(answer.result)
    if STATE in members:
        now = time.time()
        state = _State(urandom(12).hex(), int(now) + LIFE, members[STATE], since=now)
        members[STATE] = _sealed(exchange, target, state)
    return Answer(result=join(members))


def ask_ourselves(exchange: Exchange, target: Target, ask: Ask, requests: bytes, waiting: Waiting) -> Answer:
    """A question of ours before the call leaves; what the client had said to its server waits in the state."""
    waiting.held = {name: msgspec.Raw(ask.params[name]) for name in (STATE, RESPONSES) if name in ask.params}
    state = _State(urandom(12).hex(), int(time.time()) + LIFE, msgspec.Raw(b"null"), waiting)
    sealed = bytes(_sealed(exchange, target, state))
    return Answer(result=b'{"resultType":"input_required","inputRequests":%s,"requestState":%s}' % (requests, sealed))


def _sealed(exchange: Exchange, target: Target, state: _State) -> msgspec.Raw:
    sealed = exchange.world.office.vault.wrap(_context(exchange, target), msgspec.json.encode(state))
    return msgspec.Raw(b'"%s"' % base64.urlsafe_b64encode(sealed))


async def unwrap(exchange: Exchange, target: Target, ask: Ask) -> Waiting | None:
    """Puts the server's own state back into the ask; what is waited for if the question was ours, of which the server
    hears nothing. Raises Problem -32602 for any state that is not this caller's.
    """
    if ask.method not in METHODS:
        return None
    state = _open(exchange, target)
    if state is None or state.expires < time.time() or _is_of_another_account(exchange, target, state):
        raise _not_yours()
    try:
        first = await exchange.world.rendezvous.add(f"state/{state.nonce}", b"", LIFE)
    except RendezvousDown as error:
        raise unavailable("It cannot be found out whether this was answered before; try again.") from error
    if not first:
        raise _not_yours()
    if state.waiting is None:
        ask.params = {**ask.params, STATE: bytes(state.upstream)}
        return None
    own = {name: raw for name, raw in ask.params.items() if name not in {STATE, RESPONSES}}
    ask.params = own | {name: bytes(raw) for name, raw in state.waiting.held.items()}
    return state.waiting


def _is_of_another_account(exchange: Exchange, target: Target, state: _State) -> bool:
    """Whether the account at the server, the person's or everybody's, was ended or connected anew since it asked."""
    if state.waiting is not None:
        return False
    keys = (cut_key(target.server, whose) for whose in (exchange.principal.subject, ""))
    return any(exchange.snapshot.cutoffs.cuts(Cut.CONNECTION, key, state.since) for key in keys)


def _open(exchange: Exchange, target: Target) -> _State | None:
    given = exchange.message.value(STATE)
    if type(given) is not str:
        return None
    try:
        sealed = base64.b64decode(given.encode(), altchars=b"-_", validate=True)
        if base64.urlsafe_b64encode(sealed).decode() != given:
            return None
        opened = exchange.world.office.vault.unwrap(_context(exchange, target), sealed)
        return msgspec.json.decode(opened, type=_State)
    except (binascii.Error, SecretRefused, msgspec.DecodeError, ValueError):
        return None


def _not_yours() -> Problem:
    return Problem(200, INVALID_PARAMS, "params.requestState is not valid here; start the call anew without it.")


def _context(exchange: Exchange, target: Target) -> bytes:
    """What the envelope is sealed to. The request counts as what it says, not as how its bytes are spaced."""
    params = exchange.message.tree.get("params") or {}
    said = {name: value for name, value in params.items() if name not in {STATE, RESPONSES, "_meta"}}
    principal = exchange.principal
    who = [principal.issuer, principal.subject, principal.client, principal.actor.subject if principal.actor else ""]
    what = [exchange.mount.path, target.server, target.kind, target.object, exchange.message.method]
    return b"request-state\x00" + sha256(_encode([*who, *what, said])).digest()


def question(answer: Answer) -> str:
    """What the server wants to know, for a client that cannot be asked; the words are the server's."""
    try:
        asked = msgspec.json.decode(answer.result).get("inputRequests") or {}
        texts = [request.get("params", {}).get("message") or request.get("method") for request in asked.values()]
    except (msgspec.DecodeError, AttributeError) as error:
        raise Problem(502, INTERNAL_ERROR, "The server answered with something that is no question.") from error
    return "; ".join(str(text)[:500] for text in texts[:5] if text)
