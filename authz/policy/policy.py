"""May this principal do this here? One question for lists and calls alike, so that they cannot disagree.

An answer costs about a microsecond when it was asked before: answers are kept per standing (the subjects of a
principal that any rule speaks of, in one portal), inside a policy that never changes; a new epoch is a new policy.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from msgspec.structs import replace
from simpleeval import InvalidExpression
from sqlmodel import select

from authz import grammar
from authz.acting import DEEPEST_CHAIN
from authz.assurance import Assurance, Context
from authz.errors import PolicyBroken
from authz.ids import fresh_id
from authz.policy.decisions import Action, Decision, Party, Verdict, Word
from authz.policy.enforcing import NOTHING, Enforcer, Line, Question
from authz.policy.explaining import explain
from authz.policy.rulebook import Rulebook
from authz.tables import RoleBinding, Rule

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Sequence

    from sqlmodel import Session

    from authz.grammar import Place

__all__ = ["Action", "Decision", "Policy", "Word", "load_policy"]

log = logging.getLogger("ostiary.policy")

K = TypeVar("K")
V = TypeVar("V")

# Seconds of work after which an answer counts as a denial (T-43); a usual one takes 20 microseconds. What others do on
# the machine meanwhile is not counted: a busy hour would be a list of refusals that nobody can explain.
SLOW = 0.25
STANDINGS = 4096
VERDICTS = 16384

FAULTS = (
    ArithmeticError,
    AttributeError,
    InvalidExpression,
    LookupError,
    NameError,
    RuntimeError,
    TypeError,
    ValueError,
)


class Standing(NamedTuple):
    """What policy knows somebody as, in one portal; everybody of the same standing gets the same answers."""

    portal: str
    subjects: frozenset[str]
    verdicts: dict[tuple[str, str], Verdict]


class Policy:
    """The rules of one epoch. Safe to share between threads."""

    def __init__(
        self,
        rules: Iterable[Rule] = (),
        bindings: Iterable[RoleBinding] = (),
        *,
        epoch: int = 0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.epoch = epoch
        self._book = Rulebook(rules, bindings)
        self._enforcer = Enforcer()
        self._clock = clock
        self._standings: dict[tuple[frozenset[str], str, str], Standing] = {}
        self._shared: dict[tuple[str, frozenset[str]], Standing] = {}

    @property
    def broken(self) -> Sequence[str]:
        """Ids of stored rules that are not well formed, and are therefore without effect."""
        return tuple(self._book.broken)

    @property
    def empty(self) -> bool:
        """Whether no rule is in force, so that nobody may do anything."""
        return self._book.empty

    def decide(
        self,
        principal: Party,
        portal: str,
        object: str,  # noqa: A002  # the word of policy and records
        action: Action,
        arguments: bytes = b"",
    ) -> Decision:
        """Never raises: a fault is a denial. Everybody who acts in `principal` must be allowed."""
        try:
            party, verdict = self._judge(principal, portal, object, action, arguments)
        except FAULTS as fault:
            log.error("policy could not be asked: %s", type(fault).__name__)  # noqa: TRY400  # its text may be private
            party, verdict = principal, Verdict(False, Word.FAULT)
        decision_id = fresh_id()
        reason, remedy = explain(verdict, principal, party, object, action, decision_id)
        return Decision(
            verdict.allowed, decision_id, reason, remedy, verdict.rule, self.epoch, verdict.until, verdict.word,
            verdict.needs, verdict.conditional,
        )  # fmt: skip

    def view_key(self, principal: Party, portal: str) -> Hashable:
        """Two principals with the same key see the same lists here, until `view_until`."""
        parties: list[tuple[frozenset[str], frozenset[str]]] = []
        party: Party | None = principal
        while party is not None and len(parties) <= DEEPEST_CHAIN:
            parties.append((self._standing(party, portal).subjects, party.scopes))
            party = party.actor
        return (self.epoch, portal, *parties)

    def view_until(self, principal: Party, portal: str) -> float | None:
        """When a list made now for this view may change although the policy does not; None is never."""
        ends = []
        party: Party | None = principal
        while party is not None:
            ends.append(self._book.next_end(self._standing(party, portal).subjects, self._clock()))
            party = party.actor
        return _earliest(*ends)

    def _judge(
        self, principal: Party, portal: str, name: str, action: Action, arguments: bytes
    ) -> tuple[Party, Verdict]:
        """The first party that is refused, or the whole chain's consent with its earliest end."""
        verdict = self._party(principal, portal, name, action, arguments)
        acting, depth = principal.actor, 1
        while acting is not None and verdict.allowed:
            second = self._party(acting, portal, name, action, arguments)
            if not second.allowed or depth > DEEPEST_CHAIN:
                return acting, second if not second.allowed else Verdict(False, Word.NO_RULE)
            verdict = _sooner(verdict, second)
            acting, depth = acting.actor, depth + 1
        return principal, verdict

    def _party(self, party: Party, portal: str, name: str, action: Action, arguments: bytes) -> Verdict:
        place = grammar.place(name)
        if place is None:
            return Verdict(False, Word.NAME)
        verdict = self._verdict(self._standing(party, portal), place, action, party, arguments)
        scopes = party.scopes
        if not verdict.allowed or "mcp" in scopes or name in scopes or place.all in scopes:
            return verdict
        return Verdict(False, Word.SCOPE, verdict.rule, "", verdict.until)

    def _verdict(self, standing: Standing, place: Place, action: Action, party: Party, arguments: bytes) -> Verdict:
        key = (place.object if self._book.is_named(place.object) else place.all, action)
        verdict = standing.verdicts.get(key)
        if verdict is not None and (verdict.until is None or verdict.until > self._clock()):
            return verdict
        lines, until = self._alive(self._book.lines(standing.subjects, standing.portal, place, action))
        conditional = any(line.cond is not None for line in lines)
        context = Context(arguments, party.assured, self._clock()) if conditional else NOTHING
        question = Question(standing.subjects, standing.portal, *place, action, context)
        verdict = self._ask(lines, question, until)
        if verdict.allowed and conditional:
            verdict = _until_unsure(verdict, lines, context)
        elif verdict.word is Word.NO_RULE and action.seeing is not action:
            verdict = self._supposing(lines, question, verdict) or self._why_only_seen(
                verdict, standing, place, action, party
            )
        if conditional:
            return replace(verdict, conditional=True)
        if verdict.word is not Word.TOO_SLOW:
            _keep(standing.verdicts, key, verdict, VERDICTS)
        return verdict

    def _alive(self, lines: list[Line]) -> tuple[list[Line], float | None]:
        """The lines that have not ended, and the earliest end among them."""
        if not self._book.ends:
            return lines, None
        now, ends = self._clock(), self._book.ends
        alive = [line for line in lines if line.id not in ends or ends[line.id] > now]
        return alive, min((ends[line.id] for line in alive if line.id in ends), default=None)

    def _ask(self, lines: list[Line], question: Question, until: float | None) -> Verdict:
        started = time.thread_time()
        allowed, rule = self._enforcer.ask(lines, question)
        if time.thread_time() - started > SLOW:
            return Verdict(False, Word.TOO_SLOW)
        if allowed:
            return Verdict(True, Word.ALLOWED, rule, "", until)
        if rule:
            return Verdict(False, Word.DENIED, rule, self._book.notes.get(rule, ""), until)
        return Verdict(False, Word.NO_POLICY if self._book.empty else Word.NO_RULE, "", "", until)

    def _supposing(self, lines: list[Line], question: Question, refused: Verdict) -> Verdict | None:
        """What would be allowed to somebody who had signed in as the rules want it: with what they want."""
        demands = {line.id: line.cond for line in lines if isinstance(line.cond, Assurance)}
        if not demands:
            return None
        supposed = self._ask([_met(line) for line in lines], question, refused.until)
        if not supposed.allowed:
            return None
        note = self._book.notes.get(supposed.rule, "")
        return Verdict(False, Word.STEP_UP, supposed.rule, note, refused.until, demands.get(supposed.rule))

    def _why_only_seen(
        self, refused: Verdict, standing: Standing, place: Place, action: Action, party: Party
    ) -> Verdict:
        """What is shown and not given is explained by the note of the rule that shows it."""
        seen = self._verdict(standing, place, action.seeing, party, b"")
        return Verdict(
            False, refused.word, "", self._book.notes.get(seen.rule, ""), _earliest(refused.until, seen.until)
        )

    def _standing(self, party: Party, portal: str) -> Standing:
        client = party.client if party.client in self._book.clients else ""
        key = (party.subjects, portal, client)
        standing = self._standings.get(key)
        if standing is None:
            standing = self._stand(party.subjects, portal, client)
            _keep(self._standings, key, standing, STANDINGS)
        return standing

    def _stand(self, subjects: frozenset[str], portal: str, client: str) -> Standing:
        known = {*subjects, *self._book.roles(subjects, portal)}
        if client:
            known.add(grammar.CLIENT + client)
        relevant = frozenset(known & self._book.subjects)
        standing = self._shared.get((portal, relevant))
        if standing is None:
            standing = Standing(portal, relevant, {})
            _keep(self._shared, (portal, relevant), standing, STANDINGS)
        return standing


def load_policy(session: Session, epoch: int) -> Policy:
    """The policy as the database has it. Raises PolicyBroken when the engine does not answer as it must."""
    rules, bindings = session.exec(select(Rule)).all(), session.exec(select(RoleBinding)).all()
    if None in rules or None in bindings:  # what SQLAlchemy makes of a row without a key: pages of the file are lost
        raise PolicyBroken("the table of rules is damaged; restore a backup")
    return Policy(rules, bindings, epoch=epoch)


def _until_unsure(verdict: Verdict, lines: list[Line], context: Context) -> Verdict:
    """A sign-in that is recent enough is so for a while."""
    ends = (line.cond.ends(context.assured) for line in lines if isinstance(line.cond, Assurance))
    return Verdict(True, Word.ALLOWED, verdict.rule, "", _earliest(verdict.until, *ends))


def _met(line: Line) -> Line:
    return line._replace(cond=None) if isinstance(line.cond, Assurance) else line


def _keep(kept: dict[K, V], key: K, value: V, most: int) -> None:
    if len(kept) >= most:
        kept.clear()  # rare, cheap, and what is asked again comes back
    kept[key] = value


def _sooner(one: Verdict, other: Verdict) -> Verdict:
    conditional = one.conditional or other.conditional
    return Verdict(True, Word.ALLOWED, one.rule, "", _earliest(one.until, other.until), conditional=conditional)


def _earliest(*ends: float | None) -> float | None:
    return min((end for end in ends if end is not None), default=None)
