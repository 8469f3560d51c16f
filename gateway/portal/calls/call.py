"""The spine: what happens to one call, from a parsed message to its answer.

find → decide → intend → send → conclude. tools/call, prompts/get, resources/read and completion/complete share it;
everything that may leave for a server on a principal's behalf passes here and nowhere else.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from gateway.credentials import ConnectionNeeded, CredentialUnavailable
from gateway.portal.calls import asking, connecting, plans, rounds
from gateway.portal.calls.refusing import in_band, note_refusal, refuse
from gateway.portal.calls.sending import NOT_CONNECTED, Judged, send
from gateway.portal.calls.targets import TARGETS, Target, decided, unknown
from gateway.portal.calls.underway import REVOKED
from gateway.portal.lasting import judged_by
from gateway.problems import REFUSED, Problem, of_upstream
from gateway.upstream.troubles import Trouble
from registry.tables import Auth

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from authz.policy.policy import Decision
    from gateway.portal.calls.rounds import Waiting
    from gateway.portal.exchange import Exchange
    from gateway.upstream import Answer, Ask
    from registry.catalogue import Credential, Upstream

METHODS: Final = frozenset(TARGETS)
UNREAD: Final = frozenset({Trouble.NOT_CONNECTED, Trouble.CREDENTIAL})


def call(exchange: Exchange) -> Awaitable[Answer]:
    """The answer to a call, or Problem. The record has an entry for it whatever happens.

    All that comes before the call leaves is done at once; what is given back is awaited at once too.
    """
    target = find(exchange)
    decision = decide(exchange, target)
    upstream = reachable(exchange, target)  # not before: that a server is down would tell that it is there
    if not decision:
        return _refused(exchange, target, decision)
    ask = asking.prepare(exchange, target)
    if rounds.STATE in ask.params:
        return _resumed(exchange, target, ask, decision)
    credential = None
    if upstream.auth is not Auth.NONE:
        credential = exchange.world.credentials.at_hand(exchange.snapshot, upstream, exchange.principal, target.object)
        if credential is None:
            return _provided(exchange, target, ask, decision)
    if target.account:
        check_account(exchange, target, credential)
    ready = Judged(exchange, target, ask, decision, credential)
    plans.learn(ready)
    return send(ready)


async def _refused(exchange: Exchange, target: Target, decision: Decision) -> Answer:
    return refuse(exchange, target, decision)


async def _resumed(exchange: Exchange, target: Target, ask: Ask, decision: Decision) -> Answer:
    """A further round: the state that was left with the client is looked at before anything else."""
    try:
        waiting = await rounds.unwrap(exchange, target, ask)
    except Problem:
        note_refusal(exchange, target, "state", decision)
        raise
    if waiting is not None and connecting.declined(exchange):
        note_refusal(exchange, target, "declined", decision)
        return in_band(target, connecting.NO, {"reason": connecting.NO, "decision": decision.id})
    return await _provided(exchange, target, ask, decision, waiting)


async def _provided(
    exchange: Exchange, target: Target, ask: Ask, decision: Decision, waiting: Waiting | None = None
) -> Answer:
    """A credential comes first, and with it a pause, after which the call is judged by what holds then."""
    try:
        if waiting is None:
            credential = await connecting.obtain(exchange, target)
        else:
            credential = await connecting.wait(exchange, target, waiting)
    except ConnectionNeeded as needed:
        note_refusal(exchange, target, NOT_CONNECTED, decision)
        return connecting.ask_person(exchange, target, ask, needed, "" if waiting is None else waiting.used)
    except CredentialUnavailable as error:
        note_refusal(exchange, target, "no-credential", decision)
        raise of_upstream(error) from error
    return await _judged_again(exchange, target, ask, credential)


async def _judged_again(exchange: Exchange, target: Target, ask: Ask, credential: Credential | None) -> Answer:
    now = judged_by(exchange, exchange.world.snapshots.current, in_time=False)
    if now is None:
        note_refusal(exchange, target, "revoked")
        raise Problem(403, REFUSED, REVOKED)
    aimed = find(now)
    if aimed.entry is None or target.entry is None or aimed.entry.digest != target.entry.digest:
        note_refusal(now, aimed, "unknown")
        raise unknown(aimed)
    decision = decide(now, aimed)
    if not decision:
        return refuse(now, aimed, decision)
    check_account(now, aimed, credential)
    return await send(Judged(now, aimed, ask, decision, credential))


def check_account(exchange: Exchange, target: Target, credential: Credential | None) -> None:
    """Another account of the same person is another party: what began with the first is nothing of the second's."""
    if target.account and (credential is None or credential.account != target.account):
        note_refusal(exchange, target, "account")
        raise unknown(target)


def find(exchange: Exchange) -> Target:
    """The definition asked for; absent, unapproved and drifted are one and the same to the caller."""
    target = TARGETS[exchange.message.method](exchange)
    if target.entry is None:
        note_refusal(exchange, target, "unknown")
        raise unknown(target)
    return target


def reachable(exchange: Exchange, target: Target) -> Upstream:
    """The server that is asked. That it is down is said only to whoever may see what is asked for."""
    upstream = exchange.snapshot.catalogue.upstreams[target.server]
    if is_stale(upstream, exchange.world.settings.stale_limit):
        note_refusal(exchange, target, "stale")
        raise Problem(502, -32603, f"The server {upstream.title or upstream.slug} has not been reachable for a while.")
    return upstream


def is_stale(upstream: Upstream, limit: float) -> bool:
    """Whether a server has failed for longer than its last good definitions are trusted.

    One that only lacks an account for us to read with has not failed: a call that needs one says so itself.
    """
    if upstream.stale_since is None or upstream.trouble in UNREAD:
        return False
    return time.time() - upstream.stale_since > limit


def decide(exchange: Exchange, target: Target) -> Decision:
    """Policy's word. What the principal may not even see does not exist for it."""
    policy, mount = exchange.snapshot.policy, exchange.mount
    decision = decided(exchange, target)
    exchange.world.telemetry.decided(decision.allowed)
    if decision or decision.wider_token_helps or decision.stronger_token_helps:
        return decision
    seeing = target.action.seeing
    if seeing is target.action or not policy.decide(exchange.principal, mount.portal, target.object, seeing):
        note_refusal(exchange, target, "invisible", decision)
        raise unknown(target)
    return decision
