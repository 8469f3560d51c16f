"""What a probe or a refresh saw at a server, compared with what was known, screened and stored.

Nothing here makes anything usable: a definition is usable when its digest is the pinned one, and only an approval
pins. So a change is felt the moment it is stored.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlmodel import Session, col, select

from registry.catalogue.naming import expose, skeleton, twins
from registry.declaring import COMMAND
from registry.eras import same_tool
from registry.screening import Described, Finding, refused
from registry.screening.ahead import Ahead, look_ahead
from registry.servers import Step, find, step
from registry.tables import Definition, Era, ExposedName, Kind, Pin, Server, ServerState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from registry.database import Database

TWICE = "listed-twice"  # the rule of the finding
FLAPS = 3  # there, back, and there again
FLAP_MEMORY = 3600.0  # seconds in which they count together
NAMED = (Kind.TOOL, Kind.PROMPT)  # kinds that are exposed under a name of ours; the others go by their URI

Key = tuple[str, str]  # kind and name


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """All that a server said of itself: what it is, and every page of what it offers."""

    era: Era
    protocol_version: str
    capabilities: Mapping[str, Any]
    definitions: Sequence[Described]


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What was different, by `kind name`."""

    new: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    returned: list[str] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)  # approved, and not what was approved any more
    suspended: bool = False
    recovered: bool = False
    facts_changed: bool = False

    def __bool__(self) -> bool:
        """Whether the catalogue may have to change."""
        lists = (self.new, self.changed, self.missing, self.returned)
        return any(lists) or self.suspended or self.recovered or self.facts_changed

    def facts(self) -> dict[str, Any]:
        """For the record: at most 50 names of each, and how many there are."""
        lists = {
            "new": self.new,
            "changed": self.changed,
            "missing": self.missing,
            "returned": self.returned,
            "hidden": self.hidden,
        }
        found: dict[str, Any] = {name: names[:50] for name, names in lists.items() if names}
        found |= {f"{name}_count": len(names) for name, names in lists.items() if len(names) > 50}
        return found | ({"suspended": True} if self.suspended else {})


def differs(session: Session, slug: str, seen: Seen) -> bool:
    """Whether `observe` would find anything; cheap, so that most refreshes need no transaction that others wait for."""
    server = find(session, slug)
    fresh, twice = _once(seen.definitions)
    texts = {key: one.raw for key, one in fresh.items()}
    if _facts(server) != _seen_facts(seen) or server.failing_since is not None:
        return True
    return _known(session, slug) != texts or _marked_twice(session, slug) != twice


def screen_ahead(database: Database, slug: str, seen: Seen) -> Ahead:
    """Screens what `observe` would store as things are now: outside its transaction, so that nobody waits for that."""
    with database.read() as session:
        known = _known(session, slug)
        marked = _marked_twice(session, slug)
    fresh, twice = _once(seen.definitions)
    other = {key for key, one in fresh.items() if known.get(key) != one.raw}
    return look_ahead(seen.definitions, other | (twice ^ marked))


def observe(session: Session, slug: str, seen: Seen, ahead: Ahead | None = None) -> Observation:
    """Stores what was seen and says what was different. What nobody looked at `ahead` is screened here."""
    server = find(session, slug)
    observation = _Observer(session, server, time.time(), Ahead() if ahead is None else ahead).store(seen)
    server.era, server.protocol_version = seen.era, seen.protocol_version
    server.capabilities = dict(seen.capabilities)
    server.probed_at, server.failing_since, server.failure, server.trouble = time.time(), None, "", ""
    session.add(server)
    return observation


def failed(session: Session, slug: str, failure: str, trouble: str = "") -> bool:
    """A refresh did not succeed; `failure` is our own sentence, `trouble` its kind. Returns whether that is news."""
    server = find(session, slug)
    news = server.failing_since is None or server.failure != failure
    server.failing_since = server.failing_since or time.time()
    server.failure, server.trouble = failure, trouble
    session.add(server)
    return news


def touch(session: Session, slug: str) -> None:
    """A refresh found nothing new."""
    server = find(session, slug)
    server.probed_at = time.time()
    session.add(server)


class _Observer:
    """One comparison of what was seen with what is known."""

    def __init__(self, session: Session, server: Server, now: float, ahead: Ahead) -> None:
        self._session, self._server, self._now, self._ahead = session, server, now, ahead
        self._known = _known(session, server.slug, missing=True)
        self._gone = self._known.keys() - _known(session, server.slug).keys()
        pins = session.exec(select(Pin.kind, Pin.name, Pin.digest).where(Pin.server == server.slug))
        self._pins = {(kind, name): digest for kind, name, digest in pins}
        self._moved = False  # to or from an approved text
        self._hidden: list[str] = []
        self._other_era = False
        self._position = len(self._known)
        self._names: dict[Kind, dict[str, tuple[str, str]]] = {}
        self._skeletons: dict[Kind, dict[str, tuple[str, str]]] = {}

    def store(self, seen: Seen) -> Observation:
        fresh, twice = _once(seen.definitions)
        new = [one for key, one in fresh.items() if key not in self._known]
        returned = [one for key, one in fresh.items() if key in self._gone]
        remarked = twice ^ _marked_twice(self._session, self._server.slug)
        changed = [one for key, one in fresh.items() if key in self._known and self._is_other(key, one, remarked)]
        missing = [key for key in self._known if key not in fresh and key not in self._gone]
        extra = self._context(seen.definitions, new, changed, twice)
        self._other_era = self._server.era != seen.era
        for one in new:
            self._add(one, extra.get((one.kind, one.name), []))
        for one in [*changed, *(one for one in returned if one not in changed)]:
            self._update(one, extra.get((one.kind, one.name), []))
        for key in missing:
            self._miss(key)
        return Observation(
            new=_labels(new),
            changed=_labels(changed),
            missing=[f"{kind} {name}" for kind, name in missing],
            returned=_labels(returned),
            hidden=self._hidden,
            suspended=self._flapping(),
            recovered=self._server.failing_since is not None,
            facts_changed=_facts(self._server) != _seen_facts(seen),
        )

    def _is_other(self, key: Key, one: Described, remarked: set[Key]) -> bool:
        return self._known[key] != one.raw or key in remarked

    def _context(
        self, seen: Sequence[Described], new: list[Described], changed: list[Described], twice: set[Key]
    ) -> dict[Key, list[Finding]]:
        """Findings that a definition has because of its neighbours."""
        touched = {(str(one.kind), one.name) for one in (*new, *changed)}
        if not touched and not twice:
            return {}
        found: dict[Key, list[Finding]] = {key: [refused(TWICE, "is listed twice")] for key in twice}
        for key, finding in (*self._twins(new), *self._ahead.together(seen, touched)):
            found.setdefault(key, []).append(finding)
        return found

    def _twins(self, new: list[Described]) -> list[tuple[Key, Finding]]:
        found: list[tuple[Key, Finding]] = []
        for kind in NAMED:
            names = [name for known, name in self._known if known == kind]
            names += [one.name for one in new if one.kind == kind]
            for name, other in twins(names).items():
                found.append(((kind, name), refused("twin", f"can be taken for {other}")))
        return found

    def _add(self, one: Described, extra: list[Finding]) -> None:
        screened = self._ahead.screen(one)
        row = Definition(
            server=self._server.slug,
            kind=one.kind,
            name=one.name,
            raw=one.raw,
            digest=screened.digest,
            position=self._position,
            first_seen=self._now,
            last_seen=self._now,
        )
        self._position += 1
        if one.kind in NAMED:
            extra = [*extra, *self._expose(one)]
        row.findings = [finding.plain() for finding in (*screened.findings, *extra)]
        self._session.add(row)
        pin = self._pins.get((one.kind, one.name))
        self._moved |= pin is not None and pin != row.digest and self._counts(one)

    def _update(self, one: Described, extra: list[Finding]) -> None:
        row = self._session.get_one(Definition, (self._server.slug, one.kind, one.name))
        screened = self._ahead.screen(one)
        pin, digest = self._pins.get((one.kind, one.name)), self._as_approved(one, screened.digest)
        if pin is not None and (row.digest == pin) != (digest == pin) and self._counts(one):
            self._moved = True
            self._hidden += [f"{one.kind} {one.name}"] if row.digest == pin else []
        kept = [Finding(**plain) for plain in row.findings if plain["rule"] == "twin"]
        row.findings = [finding.plain() for finding in dict.fromkeys((*screened.findings, *kept, *extra))]
        row.raw, row.digest, row.missing, row.last_seen = one.raw, digest, False, self._now
        self._session.add(row)

    def _as_approved(self, one: Described, digest: str) -> str:
        """The pinned digest for a tool that is the approved one, told in the words of the server's other era."""
        pin = self._session.get(Pin, (self._server.slug, one.kind, one.name)) if one.kind == Kind.TOOL else None
        return pin.digest if pin is not None and pin.digest != digest and same_tool(pin.raw, one.raw) else digest

    def _counts(self, one: Described) -> bool:
        """A server that was given another era, and then its old one back, says other things of itself in each. Those
        are hidden until they are approved, like any; but its tools are what they were.
        """
        return not (self._other_era and one.kind == Kind.SERVER)

    def _miss(self, key: Key) -> None:
        row = self._session.get_one(Definition, (self._server.slug, *key))
        if key in self._pins:
            row.missing = True
            self._session.add(row)
        else:  # never approved, so nobody misses it: a server cannot fill our tables with names it takes back
            self._session.delete(row)
            kind, name = key
            place = (col(ExposedName.server) == self._server.slug, col(ExposedName.name) == name)
            self._session.connection().execute(sa.delete(ExposedName).where(*place, col(ExposedName.kind) == kind))

    def _expose(self, one: Described) -> list[Finding]:
        """Gives the definition its exposed name, unless somebody else's could be taken for it."""
        taken = self._taken(one.kind)
        slug = self._server.slug
        exposed = expose(slug, one.name, taken)
        other = self._skeletons[one.kind].get(skeleton(exposed), (slug, one.name))
        if other[0] != slug:
            return [refused("twin", f"{exposed} can be taken for the name of {other[0]}.{other[1]}")]
        if exposed not in taken:
            taken[exposed] = (slug, one.name)
            self._session.add(ExposedName(exposed=exposed, kind=one.kind, server=slug, name=one.name))
        return []

    def _taken(self, kind: Kind) -> dict[str, tuple[str, str]]:
        if kind not in self._names:
            rows = self._session.exec(select(ExposedName).where(ExposedName.kind == kind))
            self._names[kind] = {row.exposed: (row.server, row.name) for row in rows}
            self._skeletons[kind] = {skeleton(exposed): whose for exposed, whose in self._names[kind].items()}
        return self._names[kind]

    def _flapping(self) -> bool:
        """T-63: a server that goes to and fro between what was approved and something else is suspended."""
        server = self._server
        if not self._moved:
            return False
        recent = server.flapped_at is not None and self._now - server.flapped_at < FLAP_MEMORY
        server.flaps = server.flaps + 1 if recent else 1
        server.flapped_at = self._now
        if server.flaps < FLAPS or server.state != ServerState.APPROVED:
            return False
        step(server, Step.SUSPEND)
        server.suspended_because = "it went to and fro between what was approved and something else"
        return True


def _known(session: Session, slug: str, *, missing: bool = False) -> dict[Key, str]:
    """The text of every definition that is there; with `missing`, also of those that were once.

    Not the command of a process of ours: that is the operator's word, and the server does not list it.
    """
    columns = select(Definition.kind, Definition.name, Definition.raw, Definition.missing)
    rows = session.exec(columns.where(Definition.server == slug).order_by(col(Definition.position)))
    known = {(kind, name): raw for kind, name, raw, gone in rows if missing or not gone}
    known.pop((Kind.SERVER, COMMAND), None)
    return known


def _once(seen: Sequence[Described]) -> tuple[dict[Key, Described], set[Key]]:
    """Every definition once, the first of its name; and the names that came more than once."""
    fresh: dict[Key, Described] = {}
    twice: set[Key] = set()
    for one in seen:
        if fresh.setdefault((str(one.kind), one.name), one) is not one:
            twice.add((str(one.kind), one.name))
    return fresh, twice


def _marked_twice(session: Session, slug: str) -> set[Key]:
    """What was listed twice when it was last looked at."""
    likely = sa.cast(col(Definition.findings), sa.Text).like(f"%{TWICE}%")  # also where a server's own words say so
    columns = select(Definition.kind, Definition.name, Definition.findings)
    rows = session.exec(columns.where(Definition.server == slug, likely))
    return {(kind, name) for kind, name, findings in rows if any(one["rule"] == TWICE for one in findings)}


def _labels(definitions: Sequence[Described]) -> list[str]:
    return [f"{one.kind} {one.name}" for one in definitions]


def _facts(server: Server) -> tuple[Any, ...]:
    return server.era, server.protocol_version, server.capabilities


def _seen_facts(seen: Seen) -> tuple[Any, ...]:
    return seen.era, seen.protocol_version, dict(seen.capabilities)
