"""What clients of 2025-11-25 are told of tasks: that there are some, and of each tool whether it can be one."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import msgspec

from authz.policy.decisions import SEEN_AS
from gateway.portal.headers import LEGACY
from gateway.portal.wire import join, members_of
from gateway.upstream.tasks import FORBIDDEN, support, supported

if TYPE_CHECKING:
    from gateway.portal.exchange import Exchange
    from registry.catalogue import Entry, Upstream

CAPABILITY: Final[dict[str, Any]] = {"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}}
_EXECUTION: Final = "execution"
_SUPPORT: Final = "taskSupport"

_encode: Final = msgspec.json.Encoder().encode


def has_tasks(exchange: Exchange, version: str) -> bool:
    """Whether a client of this revision sees any tool that can be run as a task."""
    upstreams = exchange.snapshot.catalogue.upstreams
    return version == LEGACY[0] and any(
        supported(upstreams[entry.server], entry) != FORBIDDEN and sees(exchange, entry)
        for entry in exchange.mount.tools.values()
    )


def sees(exchange: Exchange, entry: Entry) -> bool:
    """Whether the principal sees this tool."""
    portal = exchange.mount.portal
    return bool(exchange.snapshot.policy.decide(exchange.principal, portal, entry.object, SEEN_AS[entry.kind]))


def shown(server: Upstream, entry: Entry) -> bytes:
    """A tool as it stands in a list: what it says of itself, unless something else is true here."""
    true = supported(server, entry)
    return entry.shown_legacy if true == support(entry) else _saying(entry.shown_legacy, true)


@lru_cache(maxsize=4096)
def _saying(definition: bytes, true: str) -> bytes:
    members = members_of(definition)
    try:
        execution = members_of(members.pop(_EXECUTION, msgspec.Raw(b"{}")))
    except msgspec.DecodeError:
        execution = {}
    execution.pop(_SUPPORT, None)
    if true != FORBIDDEN:  # which is what silence means
        execution[_SUPPORT] = msgspec.Raw(_encode(true))
    return join({**members, _EXECUTION: join(execution)} if execution else members)
