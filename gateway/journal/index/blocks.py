"""A block: records of one segment that follow each other, and the names by which somebody may look for them.

Names only lead to a block. Whoever looks reads its records and compares them one by one, so a name may be cut short and
one block may bear many. A record costs next to nothing that way, however many there are.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from gateway.journal.reading import fields
from gateway.journal.records import BadLine

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gateway.journal.segments import SegmentName
    from registry.tables import JournalBlock

SLACK: Final = 1.0  # seconds that an id may be older than the record that bears it, or younger, to be found by its time
LONGEST: Final = 200  # characters of a name: an index of PostgreSQL takes 2,704 bytes
_OURS: Final = re.compile("[0-9a-f]{12}7[0-9a-f]{19}")  # see `authz.ids`
_ALL: Final = re.compile(f"(?:{_OURS.pattern})*+$")
_LATEST: Final = 2**48 - 1  # milliseconds

Name = tuple[str, str]  # its kind, and the value


class Facts(msgspec.Struct, gc=False):
    """The members of a record by which it is looked for, in the order in which it has them."""

    at: float = 0.0
    event: str = ""
    call: str = ""
    decision: str = ""
    who: str = ""
    server: str = ""
    object: str = ""
    outcome: str = ""

    def is_of(self, slug: str) -> bool:
        """Whether it is about this server; a refusal names the object alone."""
        return self.server == slug or self.object.startswith(f"{slug}.")


class Entry(NamedTuple):
    """A record that was read from a block."""

    id: str  # "{writer}/{seq}"
    seq: int
    segment: str
    facts: Facts
    line: bytes


class Block(NamedTuple):
    """What is stored of some records."""

    id: str  # "{segment}/{first_seq}": where a write failed, two segments of a writer may have the same numbers
    segment: str
    first_seq: int
    last_seq: int
    since: float
    until: float
    lines: bytes
    names: list[Name]


_many = msgspec.json.Decoder(list[Facts])


def block(name: SegmentName, first: int, lines: Sequence[bytes]) -> Block:
    """Of lines of a segment that follow each other, the first of which has this number."""
    found = facts(lines)
    moments = [one.at for one in found]
    since, until = min(moments), max(moments)
    return Block(
        f"{name}/{first}", str(name), first, first + len(lines) - 1, since, until, b"".join(lines)[:-1],
        list(_names(found, since, until)),
    )  # fmt: skip


def entries(stored: JournalBlock) -> Iterator[Entry]:
    """In the order in which they were written."""
    lines, writer = stored.lines.split(b"\n"), stored.segment.partition(".")[0]
    for seq, (line, found) in enumerate(zip(lines, facts(lines), strict=True), stored.first_seq):
        yield Entry(f"{writer}/{seq}", seq, stored.segment, found, line)


def facts(lines: Sequence[bytes]) -> list[Facts]:
    """Of each line; what a record means otherwise by one of our names is left out."""
    whole = b"[%b]" % b",".join(lines)
    try:
        found = _many.decode(whole)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        found = []
    simple = len(found) == len(lines) and b"\\u0000" not in whole
    return found if simple else [_facts(line) for line in lines]


def leading(value: str) -> str:
    """A value as a name."""
    return value[:LONGEST]


def moment(identity: str) -> float | None:
    """When an id of ours was drawn."""
    return int(identity[:12], 16) / 1000 if _OURS.fullmatch(identity) else None


def _facts(line: bytes) -> Facts:
    """PostgreSQL takes no NUL as a name."""
    found, at = _fields(line), 0.0
    if isinstance(found.get("at"), (int, float)):
        at = float(found["at"])
    given = {key: found[key] for key in Facts.__struct_fields__[1:] if isinstance(found.get(key), str)}
    return Facts(at=at, **{key: value.replace("\0", "\ufffd") for key, value in given.items()})


def _fields(line: bytes) -> dict[str, Any]:
    try:
        return fields(line)
    except (BadLine, RecursionError):
        return {}


def _names(found: list[Facts], since: float, until: float) -> Iterator[Name]:
    objects = {one.object for one in found}
    named = {
        "event": {one.event for one in found},
        "who": {one.who for one in found},
        "server": {one.server for one in found} | {name.partition(".")[0] for name in objects if "." in name},
        "object": objects,
        "outcome": {one.outcome for one in found},
        "id": _from_elsewhen(({one.call for one in found} | {one.decision for one in found}) - {""}, since, until),
    }
    for kind, values in named.items():
        yield from {(kind, leading(value)) for value in values if value}


def _from_elsewhen(identities: set[str], since: float, until: float) -> set[str]:
    """Those that do not lead to a block by the time that they bear."""
    early, late = _hex(since - SLACK), _hex(until + SLACK)
    first, last = min(identities, default=""), max(identities, default="")
    if (
        early < first[:12]
        and last[:12] < late
        and set(map(len, identities)) == {32}
        and _ALL.match("".join(identities))
    ):
        return set()  # which is what nearly every block has
    return {one for one in identities if not (early < one[:12] < late and _OURS.fullmatch(one))}


def _hex(moment: float) -> str:
    return f"{min(max(0, int(moment * 1000)), _LATEST):012x}"
