"""The webhook: notices, posted to one URL of the operator's until they are taken.

Signed as Standard Webhooks has it (https://www.standardwebhooks.com): `webhook-id`, `webhook-timestamp`, and
`webhook-signature: v1,` with the HMAC-SHA-256 of `id.timestamp.body`. What was taken twice has the same id.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import os
import time
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from sqlmodel import col, func, select

from gateway.fetch import Fetcher, FetchFailed
from gateway.journal import GATEWAY
from gateway.notices import written
from registry.addresses import exception_line
from registry.errors import AddressRefused, SecretRefused
from registry.tables import Notice

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlmodel import Session

    from gateway.office import Office

OWNER: Final = "webhook:"
PURPOSE: Final = "key"
KEY_BYTES: Final = 32
BATCH: Final = 20
PATIENCE: Final = 5.0  # seconds
ANSWER: Final = 64 * 1024  # bytes of an answer that nobody reads
KEPT: Final = 3 * 86400.0  # seconds after which it is old news
MOST: Final = 1000  # messages that wait; of more the oldest go
REFUSED_MOST: Final = 3  # of one round: who refuses so many would refuse the rest
DROPPED: Final = "webhook.dropped"
OLD: Final = "it took nothing for three days"
FULL: Final = f"more than {MOST} wait"
BUSY: Final = frozenset({408, 425, 429})  # says nothing of the message (RFC 6585 section 4)
PAUSES: Final = (10.0, 60.0, 300.0, 1800.0, 7200.0)  # seconds after each attempt in vain; the last one again and again

log = logging.getLogger("ostiary")


class _Fate(Enum):
    """What became of a message."""

    TAKEN = "taken"
    REFUSED = "refused"  # this one; another may be taken
    AWAY = "away"  # nobody is there, or has time


@dataclass(frozen=True, slots=True)
class Heard:
    """What became of a message, and why it was not taken."""

    fate: _Fate
    why: str = ""

    @property
    def taken(self) -> bool:
        return self.fate is _Fate.TAKEN


class Webhook:
    """Delivers what is due; one process of an installation at a time."""

    def __init__(self, office: Office, clock: Callable[[], float] = time.time) -> None:
        self._office, self._clock = office, clock
        url = office.settings.webhook_url
        self._url = url or ""
        self._fetcher = Fetcher((exception_line(url),) if url else ())  # the operator's file named it

    def deliver(self) -> None:
        """What is due, in the order in which it happened; a message that is refused holds no other back."""
        self._drop()
        refused = 0
        for notice in self._due():
            heard = self._post(notice)
            self._note(notice, taken=heard.taken)
            refused += heard.fate is _Fate.REFUSED
            if heard.why:
                log.warning("the webhook took nothing: %s", heard.why)
            if heard.fate is _Fate.AWAY or refused == REFUSED_MOST:
                return

    def test(self, who: str) -> Heard:
        """One message beside all that wait, to see what becomes of it."""
        self._office.journal.note("notice.test", who=who)
        return self._post(written("notice.test", {"by": who}, self._clock()))

    def _drop(self) -> None:
        """What is too old, and the oldest of too many: on record, for nobody will hear of it otherwise."""
        with self._office.database.read() as session:
            if not self._dropped(session):
                return
        with self._office.database.change() as session:
            for why, notices in self._dropped(session).items():
                for notice in notices:
                    session.delete(notice)
                first, last = notices[0].at, notices[-1].at
                told = {"count": len(notices), "why": why, "first": first, "last": last}
                self._office.journal.note(DROPPED, who=GATEWAY, **told)

    def _dropped(self, session: Session) -> dict[str, Sequence[Notice]]:
        oldest = select(Notice).order_by(col(Notice.at))
        horizon = self._clock() - KEPT
        old = session.exec(oldest.where(Notice.at < horizon).limit(MOST)).all()
        over = session.exec(select(func.count()).select_from(Notice)).one() - len(old) - MOST
        many = session.exec(oldest.where(Notice.at >= horizon).limit(over)).all() if over > 0 else ()
        return {why: notices for why, notices in ((OLD, old), (FULL, many)) if notices}

    def _due(self) -> Sequence[Notice]:
        query = select(Notice).where(Notice.due_at <= self._clock()).order_by(col(Notice.at)).limit(BATCH)
        with self._office.database.read() as session:
            return session.exec(query).all()

    def _post(self, notice: Notice) -> Heard:
        if not self._url:  # nobody listens any more
            return Heard(_Fate.TAKEN)
        body = notice.body.encode()
        headers = signed(key(self._office), notice.id, int(self._clock()), body)
        try:
            answer = self._fetcher.send("POST", self._url, headers=headers, body=body, limit=ANSWER, timeout=PATIENCE)
        except (FetchFailed, AddressRefused) as error:
            return Heard(_Fate.AWAY, str(error))
        if 200 <= answer.status < 300:
            return Heard(_Fate.TAKEN)
        refused = 400 <= answer.status < 500 and answer.status not in BUSY
        return Heard(_Fate.REFUSED if refused else _Fate.AWAY, f"it answers {answer.status}")

    def _note(self, notice: Notice, *, taken: bool) -> None:
        now = self._clock()
        with self._office.database.change() as session:
            stored = session.get(Notice, notice.id)
            if stored is None:
                return
            if taken:
                session.delete(stored)
                return
            stored.due_at = now + PAUSES[min(stored.attempts, len(PAUSES) - 1)]
            stored.attempts += 1
            session.add(stored)


def signed(secret: bytes, ident: str, at: int, body: bytes) -> dict[str, str]:
    """The headers of one message."""
    mac = hmac.new(secret, f"{ident}.{at}.".encode() + body, hashlib.sha256).digest()
    return {
        "content-type": "application/json",
        "webhook-id": ident,
        "webhook-timestamp": str(at),
        "webhook-signature": f"v1,{base64.b64encode(mac).decode()}",
    }


def key(office: Office, *, new: bool = False) -> bytes:
    """What messages are signed with; made when it is first wanted, and anew where it is said."""
    with office.database.change() as session:
        try:
            found = b"" if new else office.vault.open_secret(session, OWNER, PURPOSE)
        except SecretRefused:
            found = b""
        if not found:
            found = os.urandom(KEY_BYTES)
            office.vault.seal(session, OWNER, PURPOSE, found)
    return found


def shown(secret: bytes) -> str:
    """As the libraries for it take it."""
    return f"whsec_{base64.b64encode(secret).decode()}"
