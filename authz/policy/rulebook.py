"""The rules of one policy epoch, laid out so that a question meets only the lines that can matter to it.

pycasbin costs what its lines cost (10,000 of them: 11 ms a question), so lines are found by portal, object, action and
subject before it is asked: what a call costs does not depend on how many rules there are for others.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from typing import TYPE_CHECKING

from authz import grammar
from authz.assurance import read_condition
from authz.policy.decisions import Action
from authz.policy.enforcing import ALLOW, DENY, Line, Unknown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from authz.grammar import Place
    from authz.policy.enforcing import Condition
    from authz.tables import RoleBinding, Rule

log = logging.getLogger("ostiary.policy")

ALL = tuple(Action)
USING = frozenset((Action.CALL, Action.READ, Action.GET))
# What may be used may be seen …
ALLOWED_BY = {
    grammar.ANYTHING: ALL,
    "list": (Action.LIST, Action.SEE_TOOL, Action.SEE_RESOURCE, Action.SEE_PROMPT),
    "call": (Action.LIST, Action.SEE_TOOL, Action.CALL),
    "read": (Action.LIST, Action.SEE_RESOURCE, Action.READ),
    "get": (Action.LIST, Action.SEE_PROMPT, Action.GET),
}
# … and what may not be seen may not be used.
DENIED_BY = {
    grammar.ANYTHING: ALL,
    "list": ALL,
    "call": (Action.CALL,),
    "read": (Action.READ,),
    "get": (Action.GET,),
}


class Rulebook:
    """Immutable once made. `broken` names the rules that are not well formed: what they would allow, they do not."""

    def __init__(self, rules: Iterable[Rule], bindings: Iterable[RoleBinding]) -> None:
        self.subjects: set[str] = set()
        self.clients: set[str] = set()
        self.ends: dict[str, float] = {}
        self.notes: dict[str, str] = {}
        self.broken: list[str] = []
        self._named: set[str] = set()
        self._lines: dict[tuple[str, str, str], dict[str, list[Line]]] = {}
        self._ends_of: dict[str, set[float]] = defaultdict(set)
        self._roles: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for rule in sorted(rules, key=lambda rule: rule.id):
            self._take(rule)
        for binding in bindings:
            self._bind(binding)

    @property
    def empty(self) -> bool:
        return not self._lines

    def roles(self, subjects: Iterable[str], portal: str) -> Iterator[str]:
        """Casbin's `g`, expanded: the roles that any of `subjects` has in `portal`."""
        for subject in subjects:
            for role, where in self._roles.get(subject, ()):
                if where in {portal, grammar.ANYTHING}:
                    yield f"role:{role}"

    def is_named(self, name: str) -> bool:
        """Whether a rule speaks of exactly this object; if none does, it shares its answers with its whole server."""
        return name in self._named

    def lines(self, subjects: frozenset[str], portal: str, place: Place, action: str) -> list[Line]:
        """Every line that can matter, in the order of the rules' ids."""
        found = [
            line
            for where in dict.fromkeys((portal, grammar.ANYTHING))
            for what in place
            for line in _of(self._lines.get((where, what, action), {}), subjects)
        ]
        return sorted(found, key=_by_id)

    def next_end(self, subjects: Iterable[str], now: float) -> float | None:
        """The earliest coming end of any rule about `subjects`."""
        return min((end for subject in subjects for end in self._ends_of.get(subject, ()) if end > now), default=None)

    def _take(self, rule: Rule) -> None:
        effect = ALLOW if rule.effect == ALLOW else DENY  # whatever is not an allow denies
        if not well_formed(rule):
            self.broken.append(rule.id)
            log.warning("rule %r is not well formed and allows nothing", rule.id)
            if effect == ALLOW:
                return
        implied = ALLOWED_BY if effect == ALLOW else DENIED_BY
        for action in implied.get(rule.action, ALL if effect == DENY else ()):
            self._add(_line(rule, effect, action))
        self._remember(rule)

    def _add(self, line: Line) -> None:
        by_subject = self._lines.setdefault((line.dom, line.obj, line.act), {})
        by_subject.setdefault(line.sub, []).append(line)

    def _remember(self, rule: Rule) -> None:
        self.subjects.add(rule.subject)
        self._named.add(rule.object)
        if rule.note:
            self.notes[rule.id] = rule.note
        if rule.ends_at is not None:
            self.ends[rule.id] = rule.ends_at
            self._ends_of[rule.subject].add(rule.ends_at)
        if rule.subject.startswith(grammar.CLIENT):
            self.clients.add(rule.subject.removeprefix(grammar.CLIENT))

    def _bind(self, binding: RoleBinding) -> None:
        if grammar.is_bindable(binding.subject):
            self._roles[binding.subject].append((binding.role, binding.portal))


def well_formed(rule: Rule) -> bool:
    """Whether a stored rule is one that could have been written; a forced row is inert (T-42)."""
    return (
        (grammar.is_subject(rule.subject) or (rule.effect == DENY and grammar.is_client(rule.subject)))
        and grammar.is_portal(rule.portal)
        and grammar.is_object(rule.object)
        and rule.action in ALLOWED_BY
        and rule.effect in {ALLOW, DENY}
    )


def _line(rule: Rule, effect: str, action: Action) -> Line:
    return Line(rule.subject, rule.portal, rule.object, action, effect, _condition(rule, effect, action), rule.id)


def _condition(rule: Rule, effect: str, action: Action) -> Condition | None:
    """Of conditions and obligations that this version cannot judge an allow does not hold, and a deny does."""
    if rule.condition is None and not rule.obligations:
        return None
    assurance = read_condition(rule.condition) if effect == ALLOW and not rule.obligations else None
    if assurance is None:
        return Unknown(effect == DENY)
    return assurance if action in USING else None


def _of(by_subject: Mapping[str, list[Line]], subjects: frozenset[str]) -> Iterator[Line]:
    for subject in by_subject.keys() & subjects:
        yield from by_subject[subject]


def _by_id(line: Line) -> str:
    return line.id
