"""Reading the files back: only records that fit the chain count."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.journal.records import BadLine, Record, check, digest_of, fitting

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ENOUGH = 128  # bytes at the end of a record in which its hash is
LONGEST = 64 * 1024 * 1024  # of a line: a first or last record names all calls under way


class Gist(msgspec.Struct):
    """The members of a record by which this package finds its way."""

    seq: int = 0
    event: str = ""
    at: float = 0.0
    call: str = ""
    segment: str = ""
    previous: str = ""
    open: list[str] = []
    mark: str = ""
    hash: str = ""
    by: str = ""
    left: str = ""
    left_after: int = 0
    confirmed: int = 0


_gist = msgspec.json.Decoder(Gist)


@dataclass(slots=True)
class Ending:
    """How a reading ended: the last good record, and what came after it, if anything."""

    seq: int
    digest: bytes
    offset: int = 0
    bad: str = ""  # why the next line is no record; empty at the end of the file
    rest: int = 0  # bytes after the last good record
    torn: bool = False  # what comes after is one line that was never finished


def gist(line: bytes) -> Gist:
    """Raises BadLine."""
    try:
        return _gist.decode(line)
    except msgspec.ValidationError:
        return _of_other_types(fields(line))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadLine("is not JSON") from error


def fields(line: bytes) -> dict[str, Any]:
    """The whole record. Raises BadLine."""
    try:
        found = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadLine("is not JSON") from error
    if not isinstance(found, dict):
        raise BadLine("is not an object")
    return found


def records(path: Path, ending: Ending) -> Iterator[Record]:
    """The records that follow `ending`, which is kept up to date and says in the end how it ended."""
    ending.bad, ending.torn = "", False
    with path.open("rb") as file:
        file.seek(ending.offset)
        for raw in iter(lambda: file.readline(LONGEST), b""):
            record = _next(raw, ending)
            if record is None:
                break
            ending.seq, ending.digest, ending.offset = record.seq, record.digest, record.end
            yield record
        ending.rest = os.fstat(file.fileno()).st_size - ending.offset


def some(path: Path, ending: Ending, size: int, own: int | None = None) -> list[bytes]:
    """Lines that follow `ending` and fit, so many that they have `size` bytes; `ending` then says where they end.

    What this process writes itself fits as far as it counts, up to the number `own`: it has just made the hashes.
    """
    with path.open("rb") as file:
        file.seek(ending.offset)
        lines = file.readlines(size)
    if own is None:
        count, ending.digest = fitting(ending.digest, ending.seq + 1, lines)
    else:
        whole = len(lines) - (not lines[-1].endswith(b"\n")) if lines else 0
        count, ending.digest = max(0, min(whole, own - ending.seq)), b""
    ending.seq, ending.offset = ending.seq + count, ending.offset + sum(map(len, lines[:count]))
    return lines[:count]


def first(path: Path) -> Gist | None:
    """The first record as it stands, unchecked; None when there is none."""
    with path.open("rb") as file:
        line = file.readline(LONGEST)
    try:
        found = gist(line)
    except BadLine:
        return None
    return found if found.event == "journal.opened" else None


def last(path: Path) -> Gist | None:
    """The last whole line as it stands, unchecked; None when it is no record."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        reach = 4096
        while True:
            file.seek(max(0, size - reach))
            tail = file.read()
            start = tail[:-1].rfind(b"\n")
            if start >= 0 or reach >= size:
                break
            reach *= 16
    try:
        return gist(tail[start + 1 :]) if tail.endswith(b"\n") else None
    except BadLine:
        return None


def digest_before(path: Path, offset: int) -> bytes | None:
    """The hash of the record that ends at this offset, as it stands there; None when none does."""
    with path.open("rb") as file:
        file.seek(max(0, offset - ENOUGH))
        tail = file.read(min(offset, ENOUGH))
    try:
        return digest_of(tail[:-1]) if tail.endswith(b"\n") else None
    except BadLine:
        return None


def beginning(opened: Gist) -> Ending:
    """Where the chain stands before a segment's first record."""
    try:
        return Ending(seq=opened.seq - 1, digest=bytes.fromhex(opened.previous))
    except ValueError:
        return Ending(seq=opened.seq - 1, digest=b"")


def _of_other_types(found: dict[str, Any]) -> Gist:
    """A record whose facts bear our names with other meanings: only what fits is taken."""
    whole = msgspec.structs.asdict(Gist())
    same = {key: found[key] for key, ours in whole.items() if isinstance(found.get(key), type(ours))}
    return msgspec.convert(same, Gist) if all(isinstance(call, str) for call in same.get("open", ())) else Gist()


def _next(raw: bytes, ending: Ending) -> Record | None:
    if not raw.endswith(b"\n"):
        ending.bad, ending.torn = "was never finished", True
        return None
    try:
        return check(ending.digest, ending.seq + 1, raw[:-1], ending.offset + len(raw))
    except BadLine as bad:
        ending.bad = str(bad)
        return None
