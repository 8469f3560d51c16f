"""Which secrets there should be. Each kind of owner has a page, which is sealed as a whole (docs/decisions/0010)."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

import msgspec
from sqlmodel import Session, col, select

from registry.database import ensure
from registry.errors import SecretRefused
from registry.tables import Secret, VaultPage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Entries = dict[str, dict[str, str]]  # owner → purpose → the mark of its row

_entries = msgspec.json.Decoder(Entries)


class Pages:
    """Reads and writes pages; `seal` and `unseal` are the vault's, for a context."""

    def __init__(self, seal: Callable[[bytes, bytes], bytes], unseal: Callable[[bytes, bytes], bytes]) -> None:
        self._seal, self._unseal = seal, unseal

    def lock(self, session: Session, owner: str) -> None:
        """Until the transaction ends nobody else writes secrets of this kind."""
        ensure(session, VaultPage(kind=kind_of(owner), sealed=b""))

    def enter(self, session: Session, row: Secret) -> None:
        """From now on `row` is the one that opens. Within the transaction that writes the row."""
        page, entries = self._locked(session, row.owner)
        entries.setdefault(row.owner, {})[row.purpose] = _mark(row)
        self._write(session, page, entries)

    def strike(self, session: Session, owner: str) -> None:
        """From now on nothing of `owner` opens."""
        page, entries = self._locked(session, owner)
        entries.pop(owner, None)
        self._write(session, page, entries)

    def check(self, row: Secret, page: VaultPage | None) -> None:
        """Raises SecretRefused unless `row` is the one that the page of its kind knows."""
        entries = self._entries(page) if page is not None else {}
        if entries.get(row.owner, {}).get(row.purpose) != _mark(row):
            raise SecretRefused(
                f"the secret of {row.owner} ({row.purpose}) is not the one that was last kept here: "
                "it was changed, or an older one was put back; set it anew"
            )

    def problems(self, session: Session, but: str = "") -> Iterator[str]:
        """What does not agree between the secrets and their pages, in words; but for kinds that begin with `but`."""
        every, secrets = select(VaultPage), select(Secret)
        if but:
            every = every.where(~col(VaultPage.kind).startswith(but, autoescape=True))
            secrets = secrets.where(~col(Secret.owner).startswith(but, autoescape=True))
        pages = {page.kind: page for page in session.exec(every)}
        rows = {(row.owner, row.purpose): row for row in session.exec(secrets)}
        for row in rows.values():
            try:
                self.check(row, pages.get(kind_of(row.owner)))
            except SecretRefused as refused:
                yield str(refused)
        for page in pages.values():
            yield from self._missing(page, rows.keys())

    def adopt(self, session: Session) -> None:
        """Pages for all that is there. Once, for a database from before there were any."""
        for row in session.exec(select(Secret)):
            self.enter(session, row)

    def _missing(self, page: VaultPage, there: object) -> Iterator[str]:
        try:
            entries = self._entries(page)
        except SecretRefused:
            return  # told already, secret by secret
        for owner, purposes in entries.items():
            for purpose in purposes:
                if (owner, purpose) not in there:  # type: ignore[operator]
                    yield f"the secret of {owner} ({purpose}) was taken out of the database; set it anew"

    def _locked(self, session: Session, owner: str) -> tuple[VaultPage, Entries]:
        """One at a time writes a page. What a page that was changed said counts for nothing: all of it is set anew."""
        page = ensure(session, VaultPage(kind=kind_of(owner), sealed=b""))
        try:
            return page, self._entries(page)
        except SecretRefused:
            return page, {}

    def _entries(self, page: VaultPage) -> Entries:
        return _entries.decode(self._unseal(_context(page.kind), page.sealed)) if page.sealed else {}

    def _write(self, session: Session, page: VaultPage, entries: Entries) -> None:
        page.sealed = self._seal(_context(page.kind), msgspec.json.encode(entries))
        session.add(page)


def kind_of(owner: str) -> str:
    """Which page an owner is on."""
    return owner.partition(":")[0]


def _context(kind: str) -> bytes:
    return b"vault-page:" + kind.encode()


def _mark(row: Secret) -> str:
    """Of this sealing and no other: what is sealed begins with a nonce."""
    return sha256(msgspec.json.encode([row.version, row.key_id]) + row.sealed).hexdigest()
