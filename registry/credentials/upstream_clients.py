"""Our clients at authorization servers, by server and issuer; a secret that one was given is in the vault.

Everything works inside the caller's transaction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlmodel import select

from registry.database import upsert
from registry.tables import UpstreamClient

if TYPE_CHECKING:
    from sqlmodel import Session

    from registry.secrets.vault import Vault

SECRET: Final = "client_secret"  # noqa: S105 - the purpose


def owner(row: UpstreamClient) -> str:
    """Whose secret it is, in the vault: it goes with the connections of its server, and is of one issuer (SEP-2352)."""
    return f"connection/{row.server}/client:{row.issuer}"


def keep(session: Session, vault: Vault, row: UpstreamClient, secret: str = "") -> None:
    """In place of the one that was there."""
    upsert(session, row)
    if secret:
        vault.seal(session, owner(row), SECRET, secret.encode())


def secret_of(session: Session, vault: Vault, row: UpstreamClient) -> str:
    """Raises SecretRefused."""
    return vault.open_secret(session, owner(row), SECRET).decode()


def forget(session: Session, vault: Vault, row: UpstreamClient) -> None:
    vault.forget(session, owner(row))
    session.delete(row)


def home_of(session: Session, slug: str, client_id: str) -> str:
    """The issuer at which a configured client was first used; empty if it was not yet."""
    query = select(UpstreamClient.issuer).where(
        UpstreamClient.server == slug, UpstreamClient.client_id == client_id, UpstreamClient.how == "configured"
    )
    return session.exec(query.order_by(UpstreamClient.registered_at)).first() or ""  # type: ignore[arg-type]
