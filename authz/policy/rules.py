"""Writing rules and role bindings: what is not well formed is refused here, with a sentence that says what would be.

Everything works inside the caller's transaction, which moves the epoch of `Concern.POLICY`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlmodel import select

from authz import grammar
from authz.assurance import KEY, parse, read_condition
from authz.clients.known import Origin
from authz.errors import RuleRefused
from authz.policy.enforcing import ALLOW, DENY
from authz.policy.rulebook import ALLOWED_BY
from authz.tables import Client, RoleBinding, Rule
from registry.database import upsert

if TYPE_CHECKING:
    from sqlmodel import Session

LONGEST_NOTE = 500


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Draft:
    """A rule as somebody wants it. Two drafts of one `id` are the same rule, with another note, end or assurance."""

    subject: str
    object: str
    action: str
    effect: str = ALLOW
    portal: str = grammar.ANYTHING
    note: str = ""
    ends_at: float | None = None
    assurance: str = ""  # as `authz.assurance` has it

    @property
    def id(self) -> str:
        """Follows from what the rule says, so that records name the same rule after it was applied anew."""
        said = f"{self.subject}\x00{self.portal}\x00{self.object}\x00{self.action}\x00{self.effect}"
        return "r_" + hashlib.sha256(said.encode()).hexdigest()[:16]

    def __str__(self) -> str:
        where = "" if self.portal == grammar.ANYTHING else f" in {self.portal}"
        return f"{self.effect} {self.subject} {self.action} {self.object}{where}"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Binding:
    """A role as somebody wants it given."""

    subject: str
    role: str
    portal: str = grammar.ANYTHING

    def __str__(self) -> str:
        where = "" if self.portal == grammar.ANYTHING else f" in {self.portal}"
        return f"{self.subject} is {self.role}{where}"


def check_rule(draft: Draft) -> None:
    """Raises RuleRefused with everything that is wrong with it. Nothing stored is ever evaluated (T-42)."""
    problems = [
        *_subject_problems(draft),
        *([] if grammar.is_object(draft.object) else [_OBJECT.format(draft.object[:80])]),
        *([] if draft.action in ALLOWED_BY else [f"action {draft.action[:80]!r}: list, call, read, get or *"]),
        *([] if draft.effect in {ALLOW, DENY} else [f"effect {draft.effect[:80]!r}: allow or deny"]),
        *([] if grammar.is_portal(draft.portal) else [_PORTAL.format(draft.portal[:80])]),
        *([] if len(draft.note) <= LONGEST_NOTE and draft.note.isprintable() else [_NOTE]),
        *_assurance_problems(draft),
    ]
    if problems:
        raise RuleRefused("; ".join(problems))


def check_binding(binding: Binding) -> None:
    """Raises RuleRefused with everything that is wrong with it."""
    problems = [
        *([] if grammar.is_bindable(binding.subject) else [_BINDABLE.format(binding.subject[:80])]),
        *([] if grammar.is_role(binding.role) else [_ROLE.format(binding.role[:80])]),
        *([] if grammar.is_portal(binding.portal) else [_PORTAL.format(binding.portal[:80])]),
    ]
    if problems:
        raise RuleRefused("; ".join(problems))


def write_rule(session: Session, draft: Draft, *, who: str, now: float) -> Rule:
    """Adds the rule, or gives the one that says the same the new note and end."""
    check_rule(draft)
    _refuse_client(session, draft)
    rule = session.get(Rule, draft.id)
    if rule is None:
        rule = Rule(id=draft.id, **_said(draft), created_by=who, created_at=now)
    rule.note, rule.ends_at = draft.note, draft.ends_at
    rule.condition = {KEY: str(parse(draft.assurance))} if draft.assurance else None
    session.add(rule)
    return rule


def remove_rule(session: Session, rule_id: str) -> Rule:
    rule = session.get(Rule, rule_id)
    if rule is None:
        raise RuleRefused(f"there is no rule {rule_id[:80]!r}; `ostiary policy list` shows them")
    session.delete(rule)
    return rule


def bind_role(session: Session, binding: Binding) -> None:
    check_binding(binding)
    upsert(session, RoleBinding(subject=binding.subject, role=binding.role, portal=binding.portal))


def unbind_role(session: Session, binding: Binding) -> None:
    row = session.get(RoleBinding, (binding.subject, binding.role, binding.portal))
    if row is None:
        raise RuleRefused(f"{binding.subject} does not have the role {binding.role!r} in {binding.portal}")
    session.delete(row)
    session.flush()


def stored_rules(session: Session) -> list[Rule]:
    """All of them, in the order in which people read them."""
    return sorted(session.exec(select(Rule)), key=lambda rule: (rule.subject, rule.object, rule.action, rule.id))


def stored_bindings(session: Session) -> list[Binding]:
    rows = session.exec(select(RoleBinding))
    return sorted(Binding(subject=row.subject, role=row.role, portal=row.portal) for row in rows)


def draft_of(rule: Rule) -> Draft:
    """What a stored rule says."""
    assurance = read_condition(rule.condition)
    said = str(assurance) if assurance is not None else ""
    return replace(Draft(**_said(rule)), note=rule.note, ends_at=rule.ends_at, assurance=said)


def _said(rule: Draft | Rule) -> dict[str, Any]:
    return {name: getattr(rule, name) for name in ("subject", "object", "action", "effect", "portal")}


def _subject_problems(draft: Draft) -> list[str]:
    if grammar.is_client(draft.subject):
        return [] if draft.effect == DENY else [_CLIENT_GRANT]
    return [] if grammar.is_subject(draft.subject) else [_SUBJECT.format(draft.subject[:80])]


def _assurance_problems(draft: Draft) -> list[str]:
    if not draft.assurance:
        return []
    if draft.effect != ALLOW or draft.action == "list":
        return ["assurance: only a rule that allows a use can ask for it; whoever has less is refused anyway"]
    try:
        parse(draft.assurance)
    except RuleRefused as refused:
        return [str(refused)]
    return []


def _refuse_client(session: Session, draft: Draft) -> None:
    """A client is software, not somebody: it may be kept from things, but nothing is granted to it."""
    name = draft.subject.partition(":")[2] if draft.subject.startswith("agent:") else draft.subject
    client = session.get(Client, name)
    if client is None or draft.effect != ALLOW:
        return
    if client.origin == Origin.AGENT:
        raise RuleRefused(f"rules name an agent by its handle: agent:{client.handle}")
    raise RuleRefused(_CLIENT_GRANT)


_SUBJECT = "subject {!r}: user:NAME, group:NAME, agent:NAME or role:NAME, in lower case"
_BINDABLE = "subject {!r}: a role is given to user:NAME, group:NAME or agent:NAME"
_OBJECT = "object {!r}: server.name or server.* (a name as the server has it; no other pattern)"
_PORTAL = "portal {!r}: the name of a portal, server:SLUG for a server's own address, or *"
_ROLE = "role {!r}: a to z, 0 to 9 and . _ @ + -"
_NOTE = f"note: at most {LONGEST_NOTE} printable characters on one line"
_CLIENT_GRANT = "subject: a client can only be kept from things (deny); allow people, groups, roles or agents"
