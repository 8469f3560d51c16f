"""OAuth clients, the software through which somebody asks; they can narrow what a token does and never widen it."""

from __future__ import annotations

import hmac
import secrets
import time
from enum import StrEnum
from typing import TYPE_CHECKING

from sqlmodel import col, or_, select

from authz.fingerprints import fingerprint
from authz.tables import Client
from authz.tokens.minting import OPERATOR_CLIENT
from authz.tokens.personal import CLIENT as PERSONAL_CLIENT

if TYPE_CHECKING:
    from sqlmodel import Session

TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105 - the name of a grant (RFC 8693)
UNUSED_LIFE = 86400.0  # seconds that a client which registered itself may stay unused


class Origin(StrEnum):
    """How we came to know a client."""

    REGISTERED = "registered"  # by an administrator
    METADATA = "metadata"  # its id is the address of a document about it
    DYNAMIC = "dynamic"  # it registered itself (RFC 7591)
    AGENT = "agent"  # a principal of its own, with a secret


def load_clients(session: Session) -> frozenset[str]:
    """The ids of all that may be used now, the command line's own among them."""
    alive = or_(col(Client.expires_at).is_(None), col(Client.expires_at) > time.time())
    rows = session.exec(select(Client.id).where(col(Client.disabled_at).is_(None), alive)).all()
    return frozenset((*rows, OPERATOR_CLIENT, PERSONAL_CLIENT))


def find_client(session: Session, client_id: str, now: float) -> Client | None:
    """The client, unless it is unknown, disabled or has expired unused."""
    row = session.get(Client, client_id)
    if row is None or row.disabled_at is not None:
        return None
    if row.expires_at is not None and row.expires_at <= now:
        return None
    return row


def mark_used(client: Client, now: float) -> bool:
    """A client in use no longer expires; whether this was its first use."""
    first = client.expires_at is not None
    client.expires_at = None
    client.last_used_at = now
    return first


def new_secret() -> tuple[str, str]:
    """A client secret of 256 random bits, shown once, and the hash to store."""
    secret = "ost_cs_" + secrets.token_urlsafe(32)
    return secret, fingerprint(secret)


def secret_matches(client: Client, secret: str) -> bool:
    """Compared in constant time; a client without a secret matches none."""
    return bool(client.secret_hash) and hmac.compare_digest(fingerprint(secret), client.secret_hash)
