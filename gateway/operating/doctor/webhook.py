"""What `ostiary doctor` says of what the webhook has not taken."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from sqlmodel import func, select

from gateway.journal.index.search import Search, newest
from gateway.notices.webhook import DROPPED
from gateway.operating.checks import Check, State
from registry.tables import Notice

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlmodel import Session

    from gateway.office import Office

WEEK = 7 * 86400.0
REMEDY = "see that webhook_url is right and answers 2xx within five seconds; the log says what it answered"


def outbox(office: Office, now: float) -> Iterator[Check]:
    if office.settings.webhook_url is None:
        return
    with office.database.read() as session:
        refused = select(func.count(), func.min(Notice.at)).where(Notice.attempts > 0)
        waiting, since = session.exec(refused).one()
        lost = _lost(session, now - WEEK)
    if waiting:
        why = f"{waiting} messages were not taken and are sent again, the oldest is {(now - since) / 3600:.1f} h old"
        yield Check("webhook", State.AMBER, why, REMEDY)
    if lost:
        why = f"{lost} messages of the last seven days reached nobody: `ostiary audit search --event {DROPPED}`"
        yield Check("webhook", State.AMBER, why, REMEDY)


def _lost(session: Session, since: float) -> int:
    found = newest(session, Search(event=DROPPED, since=since))
    return sum(int(msgspec.json.decode(entry.line).get("count", 0)) for entry in found)
