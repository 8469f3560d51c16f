"""A token as the credential of one server, for whoever asked."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final

import msgspec

from gateway.credentials import Held
from gateway.credentials.oauth.asking.possession import Bound
from registry.addresses import exception_line
from registry.catalogue import Credential

if TYPE_CHECKING:
    from gateway.credentials import Asked
    from gateway.credentials.oauth.asking.possession import Holder

MARGIN: Final = 30.0  # seconds before its end, or a quarter of its life: a call must not arrive with a dead one
LONGEST: Final = 3600.0  # seconds that one is used, however long it would be good: who had it may have lost it since


def bearer(asked: Asked, token: str, now: float, until: float, holder: Holder | None = None) -> Held:
    """RFC 6750 section 2.1; with a `holder` of its key, RFC 9449 section 7.1.

    Another token of the same party at the same server is the same account.
    """
    key = asked.key
    whose = msgspec.json.encode([key.server, key.auth, key.subject, key.actors])
    origin, raw = exception_line(asked.upstream.url), token.encode("ascii")
    bound = None if holder is None else Bound(holder=holder, token=raw, origin=origin)
    credential = Credential(
        server=asked.upstream.slug,
        origin=origin,
        header=b"authorization",
        value=b"Bearer " + raw if bound is None else bound.value,
        subject=key.subject,
        account=sha256(whose).hexdigest(),
        scope=key.tool,
        until=min(until, now + LONGEST),
        sign=None if bound is None else bound.sign,
        heard=None if bound is None else bound.heard,
    )
    left = credential.until - now
    return Held(credential=credential, renew_at=credential.until - min(MARGIN, left / 4))
