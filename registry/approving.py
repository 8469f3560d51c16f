"""Approval: pinning exactly what was shown, and taking that back.

An approval hands in the digests that the approver saw; if one of them is no longer what the server says, nothing is
approved. Where two admins exist, whoever proposed a server does not approve it (T-95).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlmodel import Session, select

from registry.errors import NotApprovable
from registry.reviewing import Item, Key, Review, Status, digest_over, review
from registry.servers import Step, find, step
from registry.tables import Definition, Pin, Server

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Approver:
    """Who approves; `admins` is how many enabled administrators there are now."""

    name: str
    signed_in: bool
    admins: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """What was approved, and what has to be said about how."""

    server: Server
    approved: tuple[str, ...]
    digest: str  # over everything that was approved in this act
    remark: str = ""

    def facts(self) -> dict[str, Any]:
        """For the record, which is not the place for ten thousand names."""
        return {"definitions": [*self.approved[:100]], "count": len(self.approved), "digest": self.digest}


def approve(
    session: Session, slug: str, shown: Mapping[Key, str], *, by: Approver, accept_findings: bool = False
) -> Approval:
    """Pins exactly the digests in `shown`, all or none. Raises NotApprovable or WrongState, saying what to do."""
    present = review(session, slug)
    items = {item.key: item for item in present.items}
    _check_approver(present.server, by)
    _check_read(present.server)
    _check_unchanged(items, shown)
    _check_findings([items[key] for key in shown], accepted=accept_findings, slug=slug)
    step(present.server, Step.APPROVE)
    pins = {(pin.kind, pin.name): pin for pin in session.exec(select(Pin).where(Pin.server == slug))}
    for key in shown:
        _pin(session, items[key], pins.get(key), by.name)
    _drop_missing(session, present)
    _note_approval(session, present.server, by.name)
    return Approval(
        server=present.server,
        approved=_labels(items, shown),
        digest=digest_over([(kind, name, digest) for (kind, name), digest in shown.items()]),
        remark=_remark(present.server, by),
    )


def withdraw(session: Session, slug: str, name: str) -> list[str]:
    """Takes the approval of a definition back, of every kind that has this name; which those were.

    Nobody sees or uses it until somebody approves it again. Raises UnknownServer, NotApprovable.
    """
    find(session, slug)
    pins = session.exec(select(Pin).where(Pin.server == slug, Pin.name == name)).all()
    if not pins:
        raise NotApprovable(f"{slug} has nothing approved that is called {name[:80]!r}; `ostiary server show {slug}`")
    for pin in pins:
        session.delete(pin)
    session.flush()
    return sorted(pin.kind for pin in pins)


def _check_approver(server: Server, by: Approver) -> None:
    if by.admins < 2:
        return
    if not by.signed_in:
        raise NotApprovable(
            f"there are {by.admins} administrators, so one of them has to approve, signed in: "
            f"open the review page /admin/servers/{server.slug}"
        )
    if by.name == server.proposed_by:
        raise NotApprovable(f"{by.name} proposed {server.slug}; another administrator has to approve it")


def _check_read(server: Server) -> None:
    if server.probed_at is None:
        raise NotApprovable(
            f"{server.slug} could not be read yet ({server.failure or 'not asked'}): nobody has seen it"
        )


def _check_unchanged(items: Mapping[Key, Item], shown: Mapping[Key, str]) -> None:
    moved = [
        f"{kind} {name}" for (kind, name), digest in shown.items() if not _is_still(items.get((kind, name)), digest)
    ]
    if moved:
        raise NotApprovable(f"changed since it was shown, so nothing was approved: {_some(moved)}; look at it again")


def _is_still(item: Item | None, digest: str) -> bool:
    return item is not None and item.status != Status.MISSING and item.digest == digest


def _check_findings(items: Sequence[Item], *, accepted: bool, slug: str) -> None:
    refused = [f"{item.kind} {item.name}" for item in items if item.status == Status.REFUSED]
    if refused:
        raise NotApprovable(f"screened out and not approvable until the server mends it: {_some(refused)}")
    flagged = [f"{item.kind} {item.name}" for item in items if item.flagged]
    if flagged and not accepted:
        raise NotApprovable(
            f"screening flagged {_some(flagged)}; read it with `ostiary server show {slug}`, then leave it out, or "
            "approve it a second time knowingly (--accept-findings, or its box on the review page)"
        )


def _pin(session: Session, item: Item, pin: Pin | None, who: str) -> None:
    if pin is not None and pin.digest == item.digest:
        return
    if pin is None:
        pin = Pin(server=item.server, kind=item.kind, name=item.name, digest="", raw="", approved_by="", approved_at=0)
    pin.digest, pin.raw, pin.approved_by, pin.approved_at = item.digest, item.raw, who, time.time()
    session.add(pin)


def _drop_missing(session: Session, present: Review) -> None:
    """What the server no longer offers leaves with the next approval; should it come back, it is new again."""
    for item in present.items:
        if item.status == Status.MISSING:
            place = (item.server, item.kind, item.name)
            for row in (session.get(Pin, place), session.get(Definition, place)):
                if row is not None:
                    session.delete(row)


def _note_approval(session: Session, server: Server, who: str) -> None:
    server.approved_by = who
    server.approved_at = server.approved_at or time.time()  # the first one: it settles who owns a URI that two offer
    server.flaps, server.flapped_at = 0, None
    session.add(server)


def _remark(server: Server, by: Approver) -> str:
    if by.admins >= 2:
        return ""
    return f"{server.slug} was approved without a second pair of eyes: there is only one administrator, or none yet"


def _labels(items: Mapping[Key, Item], keys: Collection[Key]) -> tuple[str, ...]:
    return tuple(f"{items[key].kind} {items[key].name}" for key in keys)


def _some(labels: Sequence[str]) -> str:
    more = f" and {len(labels) - 5} more" if len(labels) > 5 else ""
    return ", ".join(labels[:5]) + more
