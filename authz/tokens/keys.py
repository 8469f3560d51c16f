"""Our signing keys: published before they sign, verifying for a token's life after they stopped, then gone."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlmodel import select

from authz import jose
from authz.errors import NoSigningKey
from authz.tables import SigningKey

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlmodel import Session

    from registry.secrets.vault import Vault

OVERLAP = 600.0  # seconds a key is published before it signs, so that whoever caches our set has it in time
AFTERLIFE = 300.0 + 60.0  # the longest token life and clock differences: what a retired key signed is dead by then
PERIOD = 30 * 86400.0  # seconds that a key signs before the next takes over


@dataclass(frozen=True, slots=True)
class Key:
    """A key of ours. Signs from `signs_from` to `retired_at`; verifies from its publication until `gone_at`."""

    kid: str
    public: jose.PublicKey
    private: jose.PrivateKey = field(repr=False)
    jwk: Mapping[str, Any]
    signs_from: float
    retired_at: float | None

    @property
    def gone_at(self) -> float:
        return float("inf") if self.retired_at is None else self.retired_at + AFTERLIFE

    def signs(self, now: float) -> bool:
        return self.signs_from <= now and (self.retired_at is None or now < self.retired_at)


@dataclass(frozen=True, slots=True)
class KeySet:
    """All keys of a snapshot. Which of them signs, verifies or is published is a question of the time."""

    keys: Mapping[str, Key]

    def signer(self, now: float) -> Key:
        """The key to sign with; the newest, when several could."""
        able = [key for key in self.keys.values() if key.signs(now)]
        if not able:
            raise NoSigningKey("there is no signing key: start the gateway once, or run `ostiary token rotate-keys`")
        return max(able, key=lambda key: (key.signs_from, key.kid))

    def verifying(self, kid: str, now: float) -> Key | None:
        """The key of that name, unless it is unknown or gone."""
        key = self.keys.get(kid)
        return key if key is not None and now < key.gone_at else None

    def published(self, now: float) -> dict[str, Any]:
        """RFC 7517 section 5: the set as a document."""
        return {"keys": [dict(key.jwk) for key in self.keys.values() if now < key.gone_at]}


def load_keys(session: Session, vault: Vault) -> KeySet:
    """The keys in the order of their making."""
    rows = session.exec(select(SigningKey).order_by(SigningKey.created_at)).all()  # type: ignore[arg-type]
    return KeySet({row.kid: _open(row, vault) for row in rows})


def rotate(session: Session, vault: Vault, *, now: float | None = None, at_once: bool = False) -> str:
    """Publishes a new key that takes over after `OVERLAP`; gives its name.

    `at_once` is for a key that may be known to others: the new one signs now and the old ones verify nothing any more.
    """
    moment = time.time() if now is None else now
    rows = session.exec(select(SigningKey)).all()
    alive = any(row.retired_at is None for row in rows)
    takes_over = moment if at_once or not alive else moment + OVERLAP
    for row in rows:
        _step_back(session, row, moment, takes_over, at_once=at_once)
    return _add(session, vault, moment, takes_over)


def rotation_due(session: Session, now: float | None = None) -> bool:
    """Whether there is no key, or the newest has signed for its period."""
    moment = time.time() if now is None else now
    newest = max(
        (row.signs_from for row in session.exec(select(SigningKey)) if row.retired_at is None), default=-PERIOD
    )  # no key: due at any time
    return newest + PERIOD <= moment


def _step_back(session: Session, row: SigningKey, now: float, takes_over: float, *, at_once: bool) -> None:
    if at_once or (row.retired_at is not None and row.retired_at + AFTERLIFE <= now):
        session.delete(row)
    elif row.retired_at is None:
        row.retired_at = takes_over
        session.add(row)


def _add(session: Session, vault: Vault, now: float, signs_from: float) -> str:
    private = jose.generate()
    kid = jose.thumbprint(private)
    sealed = vault.wrap(_context(kid), jose.export_private(private))
    public = jose.public_jwk(private, kid)
    session.add(SigningKey(kid=kid, public=public, sealed=sealed, created_at=now, signs_from=signs_from))
    session.flush()
    return kid


def _open(row: SigningKey, vault: Vault) -> Key:
    private = jose.import_private(vault.unwrap(_context(row.kid), row.sealed))
    return Key(row.kid, jose.import_public(row.public), private, row.public, row.signs_from, row.retired_at)


def _context(kid: str) -> bytes:
    return b"signing-key:" + kid.encode()
