"""What awaits a review: each definition as it is now, as it was approved, and what is remarkable about it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from sqlmodel import Session, select

from registry.differences import changes
from registry.screening import Finding, Severity
from registry.servers import find
from registry.tables import Definition, ExposedName, Kind, Pin, Server

if TYPE_CHECKING:
    from collections.abc import Collection

    from registry.differences import Change

Key = tuple[str, str]  # kind and name


class Status(StrEnum):
    """How a definition stands. Only an APPROVED one exists for anybody."""

    APPROVED = "approved"
    NEW = "new"
    CHANGED = "changed"
    REFUSED = "refused"
    MISSING = "missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A definition before the reviewer. `exposed` is empty where clients see the name (a URI) itself."""

    server: str
    kind: Kind
    name: str
    exposed: str
    status: Status
    digest: str
    raw: str
    findings: tuple[Finding, ...]
    pinned: str | None = None  # the text that was approved
    approved_by: str = ""
    approved_at: float | None = None
    first_seen: float = 0

    @property
    def key(self) -> Key:
        return (str(self.kind), self.name)

    @property
    def object(self) -> str:
        """What policy and records call it."""
        return f"{self.server}.{self.name}"

    @property
    def flagged(self) -> bool:
        return any(finding.severity == Severity.FLAGGED for finding in self.findings)

    @property
    def awaits(self) -> bool:
        return self.status in {Status.NEW, Status.CHANGED}

    def changes(self) -> list[Change]:
        """Field by field against what was approved; everything, if nothing was."""
        return changes(self.pinned, None if self.status == Status.MISSING else self.raw)


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """A server with all its definitions, as they are at this moment."""

    server: Server
    items: tuple[Item, ...]

    @property
    def awaiting(self) -> tuple[Item, ...]:
        return tuple(item for item in self.items if item.awaits)

    @property
    def shown(self) -> str:
        """One short word for everything that awaits approval, to be handed back with the approval."""
        return digest_over([(str(item.kind), item.name, item.digest) for item in self.awaiting])[:12]

    def digests(self, *, flagged: bool) -> dict[Key, str]:
        """What an approval of all that awaits hands in; with or without what was flagged."""
        return {item.key: item.digest for item in self.awaiting if flagged or not item.flagged}


def review(session: Session, slug: str) -> Review:
    """Everything that is to be seen before approving, in the order in which the server lists it."""
    server = find(session, slug)
    rows = session.exec(select(Definition).where(Definition.server == slug)).all()
    pins = {(pin.kind, pin.name): pin for pin in session.exec(select(Pin).where(Pin.server == slug))}
    names = session.exec(select(ExposedName).where(ExposedName.server == slug))
    exposed = {(row.kind, row.name): row.exposed for row in names}
    ordered = sorted(rows, key=lambda row: (list(Kind).index(Kind(row.kind)), row.position))
    items = (_item(row, pins.get((row.kind, row.name)), exposed.get((row.kind, row.name), "")) for row in ordered)
    return Review(server=server, items=tuple(items))


def _item(row: Definition, pin: Pin | None, exposed: str) -> Item:
    findings = tuple(Finding(**plain) for plain in row.findings)
    return Item(
        server=row.server,
        kind=Kind(row.kind),
        name=row.name,
        exposed=exposed,
        status=_status(row, pin, findings),
        digest=row.digest,
        raw=row.raw,
        findings=findings,
        pinned=pin.raw if pin else None,
        approved_by=pin.approved_by if pin else "",
        approved_at=pin.approved_at if pin else None,
        first_seen=row.first_seen,
    )


def _status(row: Definition, pin: Pin | None, findings: tuple[Finding, ...]) -> Status:
    if row.missing:
        return Status.MISSING
    if any(finding.severity == Severity.REFUSED for finding in findings):
        return Status.REFUSED
    if pin is None:
        return Status.NEW
    return Status.APPROVED if pin.digest == row.digest else Status.CHANGED


def digest_over(digests: Collection[tuple[str, str, str]]) -> str:
    """One for all of them: kind, name and digest of each."""
    lines = sorted("\0".join(one) for one in digests)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
