"""The journal of this process, as the gateway sees it."""

from __future__ import annotations

import asyncio
import shutil
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from gateway.journal import About, JournalDown
from gateway.journal.book import Book
from gateway.journal.flood import Flood
from gateway.journal.ledger import Ledger
from gateway.journal.records import encode, presentable
from gateway.journal.recovery import settle
from gateway.journal.redaction import Redactor
from gateway.journal.segments import SEGMENT_LIMIT, Disk, place_of
from gateway.settings import ArgumentRecord, Durability

if TYPE_CHECKING:
    from pathlib import Path

    from authz.principals import Principal
    from registry.database import Database

    Key = tuple[int, str, str, str, str, str, int, str]

COMMAND = "cli"  # the role of a process that lives for one command
KNOWN = 1024  # principals with what they do, of which the fixed part of an intent is kept
OUTCOMES = frozenset(("ok", "tool_error", "error", "cancelled", "timeout", "revoked", "broken", "unknown"))
_INTENT = b'{"at":%b,"event":"call.intent","call":"%b","decision":"%b","request_id":"%b",%b%b}'
_OUTCOME = b'{"at":%b,"event":"call.outcome","call":"%b","outcome":"%b"}'
DISK_WARNING = 0.10  # of the disk still free


def open_journal(
    directory: Path,
    hmac_key: bytes,
    database: Database | None = None,
    arguments: ArgumentRecord = ArgumentRecord.REDACTED,
    durability: Durability = Durability.GROUP,
    role: str = "gateway",
    *,
    disk: Disk | None = None,
    limit: int = SEGMENT_LIMIT,
) -> FileJournal:
    """The journal of this process. Raises JournalDown when it cannot be written.

    A command opens its segment with its first record, so that one which only reads leaves nothing behind. Every other
    role opens it now, and settles what dead writers left.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise JournalDown(f"{directory} cannot be made ({error.strerror}): let us write there") from error
    book = Book(database, place_of(directory) if database is not None and database.is_postgresql else "")
    ledger = Ledger(directory, hmac_key, book, role, disk or Disk(), limit)
    journal = FileJournal(ledger, Redactor(hmac_key, arguments), book, strict=durability is Durability.STRICT)
    if role != COMMAND:
        _start(journal, ledger, hmac_key)
    return journal


def _start(journal: FileJournal, ledger: Ledger, key: bytes) -> None:
    try:
        ledger.begin()
        settle(ledger.directory, key, journal, journal.book)
    except JournalDown:
        journal.close()
        raise
    except OSError as error:
        journal.close()
        raise JournalDown(f"{ledger.directory} cannot be read ({error.strerror}): make it ours") from error


class FileJournal:
    """The `Journal` of this process: JSON lines, chained, in segments."""

    def __init__(self, ledger: Ledger, redactor: Redactor, book: Book, *, strict: bool) -> None:
        self._ledger = ledger
        self._redactor = redactor
        self.book = book
        self.strict = strict
        self._abouts: dict[Key, About] = {}
        self._moment = b""  # of what is held
        self._flood = Flood(self.note)
        ledger.syncing.chores.append(self._count_flood)

    @property
    def directory(self) -> Path:
        return self._ledger.directory

    @property
    def writer(self) -> str:
        return self._ledger.writer

    @property
    def written(self) -> int:
        return self._ledger.seq

    def about(
        self,
        principal: Principal,
        *,
        method: str,
        server: str,
        object: str,  # noqa: A002
        rule: str,
        epoch: int,
        portal: str,
        era: str,
    ) -> About:
        key = (id(principal), portal, method, server, object, rule, epoch, era)
        known = self._abouts.get(key)
        return known if known is not None and known.principal is principal else self._know(key, principal)

    def intend(
        self,
        about: About,
        *,
        call: str,
        decision: str,
        request_id: str,
        arguments: bytes,
        value: Any = None,
        held: bool = False,
    ) -> None:
        readable = self._redactor.members(arguments, value)
        names = [name.encode("ascii", "replace") for name in (call, decision, request_id)]
        if readable is None or not b"".join(names).isalnum():  # of bytes it knows ASCII alone; ours are hexadecimal
            facts = {"at": time.time(), "event": "call.intent", "call": call, "decision": decision}
            facts |= {"request_id": request_id} | about.facts | self._redactor.facts(arguments)
            body = encode(facts)
        else:
            body = _INTENT % (self._now(held=held), *names, about.written, readable)
        (self._ledger.hold if held else self._ledger.append)(body, opens=call)

    def _know(self, key: Key, principal: Principal) -> About:
        """Written once, because it is the same for call after call."""
        _, portal, method, server, object_, rule, epoch, era = key
        facts: dict[str, Any] = {
            "who": principal.label,
            "subject": principal.subject,
            "client": principal.client,
            "portal": portal,
            "method": method,
            "server": server,
            "object": object_,
            "rule": rule,
            "epoch": epoch,
            "era": era,
        }
        if principal.actor is not None:
            facts["actors"] = _actors(principal.actor)
        if len(self._abouts) >= KNOWN:
            self._abouts.clear()
        known = self._abouts[key] = About(principal, facts, encode(facts)[1:-1])
        return known

    def conclude(self, call: str, outcome: str, *, held: bool = False, **facts: Any) -> None:
        name = call.encode("ascii", "replace")
        if facts or not name.isalnum() or outcome not in OUTCOMES:
            fields = {"at": time.time(), "event": "call.outcome", "call": call, "outcome": outcome}
            body = encode(fields | presentable(facts))
        else:
            body = _OUTCOME % (self._now(held=held), name, outcome.encode())
        (self._ledger.hold if held else self._ledger.append)(body, closes=call)

    def release(self) -> None:
        self._moment = b""
        self._ledger.release()

    def _now(self, *, held: bool) -> bytes:
        """For a record; those that are held, to be written at once, have one time."""
        if not held:
            return b"%.6f" % time.time()
        if not self._moment:
            self._moment = b"%.6f" % time.time()
        return self._moment

    def note(self, event: str, *, who: str, **facts: Any) -> None:
        self._ledger.append(encode({"at": time.time(), "event": event, "who": who, **presentable(facts)}))

    def refused_unauthenticated(self, source: str, *, reason: str, **facts: Any) -> None:
        self._flood.refused(source, reason, presentable(facts))

    async def durable(self) -> None:
        if self.strict and self._ledger.synced < self._ledger.seq:
            await self._ledger.syncing.wait(asyncio.get_running_loop())

    @property
    def healthy(self) -> bool:
        return not self._ledger.failed and not self._ledger.closed

    @property
    def warnings(self) -> tuple[str, ...]:
        if not self.healthy:
            return (f"the journal at {self.directory} cannot be written: calls are refused until it can",)
        try:
            disk = shutil.disk_usage(self.directory)
        except OSError as error:
            return (f"{self.directory} cannot be asked how full it is ({error.strerror})",)
        if disk.free >= disk.total * DISK_WARNING:
            return ()
        free = disk.free * 100 // disk.total
        return (f"the journal's disk has {free} % free: add space, or `ostiary audit prune --before DATE`",)

    def close(self) -> None:
        with suppress(JournalDown):
            self._flood.tell(now=True)
        self._ledger.close()
        self.book.close()

    def _count_flood(self) -> bool:
        with suppress(JournalDown):
            return self._flood.tell()
        return True


def _actors(actor: Principal | None) -> list[dict[str, str]]:
    """Who acts for them, nearest first (RFC 8693 section 4.1)."""
    found: list[dict[str, str]] = []
    while actor is not None:
        found.append({"who": actor.label, "subject": actor.subject, "client": actor.client})
        actor = actor.actor
    return found
