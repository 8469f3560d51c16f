"""Sealed secrets: AES-256-GCM under a data key, which is itself wrapped by the master key.

The master key is a file of mode 0600, or comes from the environment; a key service would take its place in `open`.
Whatever is sealed carries its place as associated data (owner, purpose, version), so it opens nowhere else; a page that
lists all secrets of a kind says that it is the newest.
"""

from __future__ import annotations

import os
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Self

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from registry.errors import SecretRefused
from registry.secrets import master_key
from registry.secrets.master_key import KEY_BYTES
from registry.secrets.pages import Pages, kind_of
from registry.tables import DataKey, Secret, VaultPage

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from registry.database import Database

NONCE_BYTES = 12
FIRST_KEY = "1"


class Vault:
    """Seals and opens; safe to share between threads. Its keys stay inside and are in no repr."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        self._aeads = {key_id: AESGCM(key) for key_id, key in keys.items()}
        self._newest = max(keys, key=int)
        self._root = keys[FIRST_KEY]  # what is derived must not change when a data key is added
        self._wrapper = AESGCM(self.key("wrap"))
        self._pages = Pages(self.wrap, self.unwrap)

    @classmethod
    def open(cls, data: Path, database: Database, master: bytes | None) -> Self:
        """The vault of a data directory; `master` is its master key where that is not the file in it.

        Makes the master key when there is none, and nothing yet that needs it.
        """
        rows = _stored(database)
        key = master_key.read(data, fresh=not rows) if master is None else master
        rows = rows or _first_row(database, key)
        return cls({row.id: _unwrap_row(key, row) for row in rows})

    def __repr__(self) -> str:
        return f"Vault(keys={sorted(self._aeads)})"

    def seal(self, session: Session, owner: str, purpose: str, value: bytes) -> None:
        """Store `value` for (owner, purpose), in place of what was there."""
        self._pages.lock(session, owner)  # of two that seal the same, the second follows the first
        row = session.get(Secret, (owner, purpose), populate_existing=True)
        if row is None:
            row = Secret(owner=owner, purpose=purpose, version=0, key_id=self._newest, sealed=b"")
        row.version += 1
        row.key_id = self._newest
        row.sealed = _seal(self._aeads[self._newest], value, _place(owner, purpose, row.version))
        session.add(row)
        self._pages.enter(session, row)

    def open_secret(self, session: Session, owner: str, purpose: str) -> bytes:
        """What was sealed last for (owner, purpose); raises SecretRefused if nothing was, or it was tampered with."""
        row, page = _kept(session, owner, purpose)
        if row is None:
            raise SecretRefused(f"no secret is kept for {owner} ({purpose})")
        self._pages.check(row, page)
        aead = self._aeads.get(row.key_id)
        if aead is None:
            raise SecretRefused(f"the secret of {owner} ({purpose}) is sealed under a key that is not here")
        return _open(aead, row.sealed, _place(owner, purpose, row.version), f"the secret of {owner} ({purpose})")

    def forget(self, session: Session, owner: str) -> None:
        """Remove every secret of `owner`."""
        self._pages.lock(session, owner)
        for row in session.exec(select(Secret).where(Secret.owner == owner)):
            session.delete(row)
        self._pages.strike(session, owner)

    def problems(self, session: Session, but: str = "") -> list[str]:
        """Every secret that was put back, put in or taken away behind our back, in words.

        Kinds that begin with `but` are left out: of what is many, each is looked at when it is used.
        """
        return list(self._pages.problems(session, but))

    def adopt(self, session: Session) -> None:
        """Takes the secrets that are there for the right ones: for a database from before there were pages."""
        self._pages.adopt(session)

    def wrap(self, context: bytes, value: bytes) -> bytes:
        """Seal something that leaves and comes back; it opens in the same `context` only."""
        return _seal(self._wrapper, value, context)

    def unwrap(self, context: bytes, sealed: bytes) -> bytes:
        """What `wrap` sealed; raises SecretRefused for anything else."""
        return _open(self._wrapper, sealed, context, "a sealed value")

    @lru_cache(maxsize=64)  # noqa: B019  # one vault lives as long as its process
    def key(self, purpose: str) -> bytes:
        """32 bytes for one purpose, the same in every process and after every restart (RFC 5869)."""
        return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=f"ostiary/{purpose}".encode()).derive(
            self._root
        )


def _kept(session: Session, owner: str, purpose: str) -> tuple[Secret | None, VaultPage | None]:
    """A secret and the page of its kind as they are at one moment, whatever this session has seen before."""
    query = (
        select(Secret, VaultPage)
        .join(VaultPage, col(VaultPage.kind) == kind_of(owner), isouter=True)
        .where(Secret.owner == owner, Secret.purpose == purpose)
    )
    found = session.exec(query.execution_options(populate_existing=True)).first()
    return (found[0], found[1]) if found is not None else (None, None)


def _place(owner: str, purpose: str, version: int) -> bytes:
    return msgspec.json.encode(["secret", owner, purpose, version])


def _seal(aead: AESGCM, value: bytes, place: bytes) -> bytes:
    nonce = os.urandom(NONCE_BYTES)
    return nonce + aead.encrypt(nonce, value, place)


def _open(aead: AESGCM, sealed: bytes, place: bytes, what: str) -> bytes:
    try:
        return aead.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], place)
    except (InvalidTag, ValueError) as refused:
        raise SecretRefused(f"{what} does not open: it was changed, moved, or sealed under another key") from refused


def _stored(database: Database) -> list[DataKey]:
    with database.read() as session:
        return list(session.exec(select(DataKey)))


def _first_row(database: Database, master: bytes) -> list[DataKey]:
    wrapped = _seal(AESGCM(master), os.urandom(KEY_BYTES), _key_place(FIRST_KEY))
    try:
        with database.change() as session:
            if session.get(DataKey, FIRST_KEY) is None:
                session.add(DataKey(id=FIRST_KEY, wrapped=wrapped, created_at=time.time()))
    except IntegrityError:  # another process, starting at the same time, made it
        pass
    return _stored(database)


def _unwrap_row(master: bytes, row: DataKey) -> bytes:
    return _open(AESGCM(master), row.wrapped, _key_place(row.id), "the data key (is this the right master key?)")


def _key_place(key_id: str) -> bytes:
    return msgspec.json.encode(["data-key", key_id])
