"""The parts of a run, in an order in which the catalogue only grows."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from benchmarks import wire
from benchmarks.measuring import Figures, Load, at_once, counts, measure, middle, open_session
from benchmarks.people import People
from benchmarks.processes import resident, tree
from benchmarks.table import table
from benchmarks.wire import Door
from gateway.journal.index.copying import Indexer
from registry.database import Database, sqlite_url

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fakes.gateway import Gateway

CONNECTIONS = (1, 8, 64)
ROUNDS = 3
LOOK, DEADLINE = 0.1, 60.0  # seconds
PEOPLE = 20
SIZES = {"100 B": 100, "10 KiB": 10 * 1024}
MIB, KIB = 1024 * 1024, 1024
COLUMNS = (
    "connections",
    "door µs",
    "nginx µs",
    "ratio",
    "added p50 ms",
    "added p99 ms",
    "door calls/s",
    "direct calls/s",
)


class Round(NamedTuple):
    """Straight, through us, through nginx."""

    direct: Figures
    through: Figures
    plain: Figures | None


@dataclass
class Course:
    """A gateway, what stands behind it, and how to go through them."""

    PARTS: ClassVar[tuple[str, ...]] = ("rest", "calls", "people", "churn", "sessions", "lists", "crowd", "endurance")

    gateway: Gateway
    nginx: tuple[str, int] | None
    servers: dict[str, str]
    quick: bool
    missed: list[str] = field(default_factory=list)
    _known: set[str] = field(default_factory=set)

    def rest(self) -> None:
        """Memory of a gateway that has done nothing yet."""
        self._budget("memory at rest, MiB", resident(tree(self.gateway.pid)) / MIB, 120)

    def calls(self) -> None:
        for era, slug in (("modern", "few"), ("legacy", "old")):
            for label, size in SIZES.items():
                self._calls(era, slug, label, size)

    def _calls(self, era: str, slug: str, label: str, size: int) -> None:
        rows = [(count, *self._compared(era, slug, size, count)) for count in CONNECTIONS]
        print(table(f"tools/call, {era} client and server, {label}", COLUMNS, rows))
        if label == "100 B":
            limit = 100 if era == "modern" else 150
            for count, door, *_ in rows[1:]:
                self._budget(f"{era} call, 100 B, {count} connections, µs", _number(door), limit)
            self._budget(f"{era} call, added p50 at one connection, ms", _number(rows[0][4]), 0.5)
            self._budget(f"{era} call, added p99 at 64 connections, ms", _number(rows[2][5]), 10)

    def _compared(self, era: str, slug: str, size: int, connections: int) -> tuple[object, ...]:
        """By turns, because the machine's speed changes from minute to minute; medians of the rounds."""
        rounds = [self._round(era, slug, size, connections) for _ in range(ROUNDS)]
        direct, through = middle([one.direct for one in rounds]), middle([one.through for one in rounds])
        plain = [one.plain for one in rounds if one.plain]
        ratio = median(one.through.cpu / one.plain.cpu for one in rounds if one.plain) if plain else None
        added = (through.p50 - direct.p50, through.p99 - direct.p99)
        return (through.cpu, middle(plain).cpu if plain else None, ratio, *added, through.rate, direct.rate)

    def _round(self, era: str, slug: str, size: int, connections: int) -> Round:
        direct = self._one(Door(self.servers[slug]), [], era, size, connections)
        through = self._one(self._door(slug), tree(self.gateway.pid), era, size, connections, self._copied)
        plain = self._one(Door(self.nginx[0]), tree(self.nginx[1]), "modern", size, connections) if self.nginx else None
        return Round(direct, through, plain)

    def _one(
        self, door: Door, pids: list[int], era: str, size: int, connections: int, settled: Callable[[], None] = at_once
    ) -> Figures:
        session = open_session(door) if era == "legacy" else ""
        script = [wire.call(door, era, size, session)]
        return measure(
            door, pids, Load(script=script, connections=connections, calls=self._count(connections)), settled
        )

    def _copied(self) -> None:
        """Until the journal is copied for search, which a call has to pay for too."""
        end = time.monotonic() + DEADLINE
        with closing(Database(sqlite_url(self.gateway.data))) as database:
            indexer = Indexer(self.gateway.data / "journal", database)
            while indexer.waiting():
                if time.monotonic() > end:
                    raise TimeoutError("the journal is not copied")
                time.sleep(LOOK)

    def people(self) -> None:
        """People by turns, at a server that wants nothing, and at the same one where each has a token of their own."""
        servers = {"modern": "few", "legacy": "old"}
        for slug in servers.values():
            self._door(slug)
            self.gateway.add_server(f"{slug}own", self.servers[slug], "--auth", "minted")
        people = People(self.gateway, PEOPLE, [*servers.values(), *(f"{slug}own" for slug in servers.values())])
        rows = [(era, *self._compared_people(people, slug)) for era, slug in servers.items()]
        people.close()
        columns = ("server", "no token µs", "own token µs", "ratio", "calls", "connections", "sessions")
        print(table(f"tools/call of {PEOPLE} people by turns, 8 connections, 100 B", columns, rows))

    def _compared_people(self, people: People, slug: str) -> tuple[object, ...]:
        """Connections and sessions are those that the calls with tokens have begun at the server."""
        plain = self._of_people(people, slug)
        before = counts(self.servers[slug])
        own = self._of_people(people, f"{slug}own")
        after = counts(self.servers[slug])
        new = [after[what] - before[what] for what in ("connected", "greeted")]
        return (plain.cpu / PEOPLE, own.cpu / PEOPLE, own.cpu / plain.cpu, self._count(8), *new)

    def _of_people(self, people: People, slug: str) -> Figures:
        """A turn is one call of each."""
        doors = people.doors(slug)
        script = [wire.call(door, "modern", 100) for door in doors]
        return measure(doors[0], [self.gateway.pid], Load(script=script, connections=8, calls=self._count(8) // PEOPLE))

    def churn(self) -> None:
        """A new connection for each call; a new session for each call."""
        modern, old = self._door("few"), self._door("old")
        session = [
            wire.initialize(old),
            wire.initialized(old, "{session}"),
            wire.call(old, "legacy", 100, "{session}"),
            wire.goodbye(old, "{session}"),
        ]
        turns = {"a connection for each call": (modern, [wire.call(modern, "modern", 100)], True)}
        turns["a session for each call (four requests)"] = (old, session, False)
        calls = 300 if self.quick else 3_000
        rows = []
        for label, (door, script, anew) in turns.items():
            load = Load(script=script, connections=8, calls=calls, churn=anew)
            found = measure(door, [self.gateway.pid], load)
            rows.append((label, found.cpu, found.p50, found.p99, found.rate))
        print(table("churn, 8 at a time", ("", "door µs", "p50 ms", "p99 ms", "turns/s"), rows))

    def sessions(self) -> None:
        """Memory of legacy sessions that wait."""
        count = 500 if self.quick else 5_000
        door = self._door("old")
        open_session(door)
        before = resident([self.gateway.pid])
        measure(door, [], Load(script=[wire.initialize(door)], connections=8, calls=count))
        self._budget("memory of an idle legacy session, KiB", (resident([self.gateway.pid]) - before) / KIB / count, 8)

    def lists(self) -> None:
        """`tools/list` of ten, a thousand and ten thousand tools, each on its own mount."""
        rows = []
        for slug in ("few", "many", "most"):
            door = self._door(slug)
            load = Load(script=[wire.modern(door, "tools/list", {})], connections=8, calls=400 if self.quick else 2_000)
            found = measure(door, [self.gateway.pid], load)
            rows.append((slug, found.cpu / 1e3, found.p50, found.p99))
        print(table("tools/list (few: 10, many: 1,000, most: 10,000 tools)", ("", "door ms", "p50 ms", "p99 ms"), rows))
        self._budget("tools/list of 1,000 tools, ms", _number(rows[1][1]), 0.3)

    def crowd(self) -> None:
        """The same call as at first, now beside 10,000 other tools and 10,000 rules."""
        door, *_ = [self._door(slug) for slug in ("few", "many", "most")]
        self.gateway.apply_rules("user:bench", [f"most.tool_{number:05}" for number in range(1, 10_000)])
        found = self._one(door, [self.gateway.pid], "modern", 100, 8)
        self._budget("modern call, 100 B, 8 connections, with 10,000 tools and rules, µs", found.cpu, 100)

    def endurance(self) -> None:
        """Memory before and after many calls: it must be flat."""
        before = resident([self.gateway.pid]) / MIB
        door = self._door("few")
        calls = 10_000 if self.quick else 100_000
        measure(door, [], Load(script=[wire.call(door, "modern", 100)], connections=64, calls=calls))
        after = resident([self.gateway.pid]) / MIB
        print(f"\nmemory under load: {before:.0f} MiB before, {after:.0f} MiB after {calls:,} calls")

    def _door(self, slug: str) -> Door:
        """The mount of a server, with a token that has its whole life before it."""
        if not self._known:
            self.gateway.add_user("bench")
        if slug not in self._known:
            self.gateway.add_server(slug, self.servers[slug])
            self.gateway.allow("user:bench", f"{slug}.*")
            self._known.add(slug)
        path = f"/servers/{slug}/mcp"
        return Door(self.gateway.url + path, self.gateway.token("bench", path))

    def _count(self, connections: int) -> int:
        calls = 10_000 if connections == 1 else 40_000
        return calls // 5 if self.quick else calls

    def _budget(self, what: str, found: float, limit: float) -> None:
        met = found <= limit
        if not met:
            self.missed.append(what)
        print(f"  {'within' if met else 'OVER  '}  {what}: {found:.2f} (budget {limit:g})")


def _number(value: object) -> float:
    assert isinstance(value, float)
    return value
