"""The webhook: what people should know of connections, posted to one URL of the operator's until it is taken.

Signed as Standard Webhooks has it (https://www.standardwebhooks.com): `webhook-id`, `webhook-timestamp`, and
`webhook-signature: v1,` with the HMAC-SHA-256 of `id.timestamp.body`. What was taken twice has the same id.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import os
from typing import TYPE_CHECKING, Final

from sqlmodel import col, select

from gateway.fetch import Fetcher, FetchFailed
from registry.addresses import exception_line
from registry.errors import AddressRefused, SecretRefused
from registry.tables import Notice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.credentials.equipment import Equipment
    from gateway.office import Office

OWNER: Final = "webhook:"
PURPOSE: Final = "key"
KEY_BYTES: Final = 32
BATCH: Final = 20
PATIENCE: Final = 5.0  # seconds
ANSWER: Final = 64 * 1024  # bytes of an answer that nobody reads
KEPT: Final = 3 * 86400.0  # seconds after which it is old news
PAUSES: Final = (10.0, 60.0, 300.0, 1800.0, 7200.0)  # seconds after each attempt in vain; the last one again and again

log = logging.getLogger("ostiary")


class Webhook:
    """Delivers what is due; one process of an installation at a time."""

    def __init__(self, equipment: Equipment) -> None:
        self._equipment = equipment
        url = equipment.office.settings.webhook_url
        self._url = url or ""
        self._fetcher = Fetcher((exception_line(url),) if url else ())  # the operator's file named it

    def deliver(self) -> None:
        """Everything that is due, in the order in which it happened, until one is not taken."""
        for notice in self._due():
            taken = self._post(notice)
            self._note(notice, taken=taken)
            if not taken:
                return

    def _due(self) -> Sequence[Notice]:
        query = select(Notice).where(Notice.due_at <= self._equipment.clock()).order_by(col(Notice.at)).limit(BATCH)
        with self._equipment.office.database.read() as session:
            return session.exec(query).all()

    def _post(self, notice: Notice) -> bool:
        if not self._url:  # nobody listens any more
            return True
        body = notice.body.encode()
        headers = signed(key(self._equipment.office), notice.id, int(self._equipment.clock()), body)
        try:
            answer = self._fetcher.send("POST", self._url, headers=headers, body=body, limit=ANSWER, timeout=PATIENCE)
        except (FetchFailed, AddressRefused) as error:
            log.warning("the webhook took nothing: %s", type(error).__name__)
            return False
        if not 200 <= answer.status < 300:
            log.warning("the webhook took nothing: it answers %d", answer.status)
            return False
        return True

    def _note(self, notice: Notice, *, taken: bool) -> None:
        now = self._equipment.clock()
        with self._equipment.office.database.change() as session:
            stored = session.get(Notice, notice.id)
            if stored is None:
                return
            if taken or stored.at + KEPT < now:
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
