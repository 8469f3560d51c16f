"""Our clients at authorization servers, by server and issuer; a secret that one was given is in the vault.

Everything works inside the caller's transaction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from registry.database import upsert

if TYPE_CHECKING:
    from sqlmodel import Session

    from registry.secrets.vault import Vault
    from registry.tables import UpstreamClient

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
