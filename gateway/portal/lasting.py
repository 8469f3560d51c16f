"""Streams, and calls in which somebody is asked, outlast what they were judged by: they are judged again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from msgspec.structs import replace

from authz.errors import TokenRefused
from gateway.portal.possession import presented

if TYPE_CHECKING:
    from gateway.portal.exchange import Exchange
    from gateway.snapshots import Snapshot


def judged_by(exchange: Exchange, snapshot: Snapshot, *, in_time: bool) -> Exchange | None:
    """The exchange as `snapshot` has it; None when its token was cut off, or its mount is gone.

    Without `in_time` the token may have expired meanwhile: a call that began in time goes on, unless it was revoked.
    """
    mount = snapshot.catalogue.mounts.get(exchange.mount.path)
    if mount is None:
        return None
    resource = exchange.world.settings.base_url + exchange.mount.path
    now = time.time() if in_time else min(time.time(), exchange.principal.expires_at - 1)
    try:
        principal = exchange.world.verifier.verify(presented(exchange.arrival), resource, snapshot, now)
    except TokenRefused:
        return None
    return replace(exchange, snapshot=snapshot, mount=mount, principal=principal)
