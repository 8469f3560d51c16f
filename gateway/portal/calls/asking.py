"""From what a client asked to what may leave: the server's own names, and nothing of ours or of the envelope."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

import msgspec

from authz.scopes import wider
from gateway.oauth.challenges import challenge_403, invite_dpop
from gateway.oauth.resources import metadata_url
from gateway.portal.exchange import knows_tasks, relayable
from gateway.portal.headers import (
    CAPABILITIES_KEY,
    CLIENT_INFO_KEY,
    LEGACY,
    LOG_LEVEL_KEY,
    VERSION_KEY,
    check_params,
    param_lines,
)
from gateway.portal.wire import RawMembers, join, members_of
from gateway.problems import REFUSED, Problem
from gateway.upstream import Ask
from gateway.upstream.legacy.parked import ASKABLE
from gateway.upstream.tasks import declaring, offers, undeclaring
from registry.tables import Era, Kind

if TYPE_CHECKING:
    from authz.policy.policy import Decision
    from gateway.portal.calls.targets import Target
    from gateway.portal.exchange import Exchange
    from gateway.portal.legacy.sessions import Session
    from registry.catalogue import Upstream

OURS: Final = "dev.ostiary/"
PROGRESS_TOKEN: Final = "progressToken"  # noqa: S105 - a word of the protocol
LEVELS: Final = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")

_ENVELOPE: Final = frozenset((VERSION_KEY, CAPABILITIES_KEY, CLIENT_INFO_KEY, LOG_LEVEL_KEY, PROGRESS_TOKEN))
_FORM: Final = msgspec.Raw(b'{"form":{}}')


def prepare(exchange: Exchange, target: Target) -> Ask:
    """The ask that leaves, if it may."""
    message = exchange.message
    params: dict[str, bytes] = {name: bytes(raw) for name, raw in message.params.items()}
    if target.replaced:
        params.update(target.replaced)
    return Ask(
        method=message.method,
        name=target.upstream_name,
        params=params,
        meta=_forwarded(message.meta),
        principal=exchange.principal,
        capabilities=_capabilities(exchange, target),
        client_info=_client_info(exchange),
        param_headers=_param_headers(exchange, target),
        progress=PROGRESS_TOKEN in message.meta,
        log_level=log_level(exchange),
        legacy_session=exchange.session.id if exchange.session is not None else "",
        entry=target.entry,
        tasks=offers(exchange.snapshot.catalogue.upstreams[target.server]),
    )


def _forwarded(meta: RawMembers) -> dict[str, bytes]:
    return {name: bytes(raw) for name, raw in meta.items() if name not in _ENVELOPE and not name.startswith(OURS)}


def _capabilities(exchange: Exchange, target: Target) -> bytes:
    upstream = exchange.snapshot.catalogue.upstreams[target.server]
    if exchange.modern:
        return relayable(bytes(exchange.message.meta[CAPABILITIES_KEY]), upstream, exchange.message.method)
    if exchange.session is None:
        return b"{}"
    modern = upstream.era is Era.MODERN
    able = _askable(exchange.session, upstream) if modern else _told(exchange.session.capabilities, upstream.allowed)
    return declaring(able) if knows_tasks(exchange) and offers(upstream) else able


@lru_cache(maxsize=1024)
def _told(capabilities: bytes, allowed: frozenset[str]) -> bytes:
    """What a server of the same era hears: what it may use, and not that it could begin tasks at the client."""
    members = members_of(capabilities)
    told = {name: raw for name, raw in members.items() if name != "tasks" and (name not in ASKABLE or name in allowed)}
    return undeclaring(join(told))


def _askable(session: Session, upstream: Upstream) -> bytes:
    """Forms always: a client that cannot be asked is told the question, so the question must be put."""
    declared = members_of(session.capabilities)
    members: RawMembers = {name: declared[name] for name in ASKABLE if name in declared and name in upstream.allowed}
    if "elicitation" in upstream.allowed:
        url = session.version == LEGACY[0] and session.declares("elicitation", "url")
        members["elicitation"] = msgspec.Raw(b'{"form":{},"url":{}}') if url else _FORM
    if "roots" in members:
        members["roots"] = msgspec.Raw(b"{}")  # they do not tell of changes any more
    return join(members)


def _client_info(exchange: Exchange) -> bytes:
    if exchange.session is not None:
        return exchange.session.client_info
    raw = exchange.message.meta.get(CLIENT_INFO_KEY)
    return bytes(raw) if raw is not None else b""


def log_level(exchange: Exchange) -> str:
    level = exchange.log_level
    if exchange.modern and LOG_LEVEL_KEY in exchange.message.meta:
        level = exchange.message.meta_value(LOG_LEVEL_KEY)
    if level and level not in LEVELS:
        raise Problem(400, -32602, f"{LOG_LEVEL_KEY} must be one of {', '.join(LEVELS)}.")
    return level or ""


def _param_headers(exchange: Exchange, target: Target) -> tuple[tuple[bytes, bytes], ...]:
    if target.kind is not Kind.TOOL or target.noun or target.entry is None or not target.entry.param_headers:
        return ()
    declared, arguments = target.entry.param_headers, exchange.message.value("arguments")
    if exchange.modern:
        check_params(exchange.arrival, declared, arguments, exchange.message.id)
    return param_lines(declared, arguments)


def can_sign_in_again(exchange: Exchange, decision: Decision) -> bool:
    """Whether somebody can be asked to, and it would help: an agent under a delegation, or for itself, has nobody who
    would, and a key is not had by signing in.
    """
    claims = exchange.principal.claims
    return "auth_time" in claims and "dlg" not in claims and not lacks_key(exchange, decision)


def lacks_key(exchange: Exchange, decision: Decision) -> bool:
    """Whether a rule would say yes, or might, if the token were bound to a key (RFC 9449)."""
    needs = decision.needs if decision.stronger_token_helps else None
    return needs is not None and needs.dpop and not exchange.principal.jkt


def invitation(exchange: Exchange) -> tuple[bytes, bytes]:
    """What a client needs to know that can prove a key."""
    return invite_dpop(metadata_url(exchange.world.settings.base_url, exchange.mount.path))


def insufficient_scope(exchange: Exchange, target: Target, decision: Decision) -> Problem:
    """A wider token would help, or one of a stronger sign-in: the challenge says all that it needs, the scope of the
    thing among it (RFC 6750 section 3.1; RFC 9470 section 3; MCP authorization, step-up).
    """
    scope = wider(exchange.principal.scopes, target.object)
    url = metadata_url(exchange.world.settings.base_url, exchange.mount.path)
    data = {"reason": decision.reason, "remedy": decision.remedy, "decision": decision.id}
    challenge = challenge_403(url, scope=scope, description=decision.reason, needs=decision.needs)
    return Problem(403, REFUSED, decision.reason, data=data, headers=(challenge,))
