"""Policy as code: the whole policy as one YAML file, and the difference between it and what is in force."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import yaml

from authz import grammar
from authz.assurance import parse
from authz.errors import RuleRefused
from authz.policy.enforcing import ALLOW
from authz.policy.rules import (
    Binding,
    Draft,
    bind_role,
    check_binding,
    check_rule,
    draft_of,
    remove_rule,
    stored_bindings,
    stored_rules,
    unbind_role,
    write_rule,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlmodel import Session

LARGEST = 8 * 1024 * 1024  # bytes
Item = TypeVar("Item", Draft, Binding)


@dataclass(frozen=True, slots=True)
class PolicyFile:
    """Every rule and every role binding; what is not in it is removed when it is applied."""

    rules: tuple[Draft, ...]
    roles: tuple[Binding, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What applying a file would change. Rule changes are pairs: as it is, as it will be."""

    add: tuple[Draft, ...]
    remove: tuple[tuple[str, Draft], ...]  # with the id in the table, which a forced row may have of its own
    change: tuple[tuple[Draft, Draft], ...]
    bind: tuple[Binding, ...]
    unbind: tuple[Binding, ...]

    def __bool__(self) -> bool:
        return any((self.add, self.remove, self.change, self.bind, self.unbind))

    def lines(self) -> list[str]:
        """The difference as people read it."""
        return [
            *(f"- {draft}{extras(draft)}" for _, draft in self.remove),
            *(f"+ {draft}{extras(draft)}" for draft in self.add),
            *(f"~ {new}{extras(old)} -> {extras(new) or ' no note, no end, no assurance'}" for old, new in self.change),
            *(f"- {binding}" for binding in self.unbind),
            *(f"+ {binding}" for binding in self.bind),
        ]


def read(text: str) -> PolicyFile:
    """Raises RuleRefused with every problem and the place where it stands."""
    parts = _parts(text)
    problems: list[str] = []
    rules = _items(parts.get("rules"), "rules", Draft, check_rule, problems)
    roles = _items(parts.get("roles"), "roles", Binding, check_binding, problems)
    if problems:
        raise RuleRefused("\n".join(problems))
    return PolicyFile(tuple(sorted(rules)), tuple(sorted(roles)))


def write(session: Session) -> str:
    """The policy in force, in the form that `read` reads."""
    return yaml.safe_dump(document(session), sort_keys=False, allow_unicode=True, width=120)


def document(session: Session) -> dict[str, Any]:
    """The same, not yet written."""
    return {
        "rules": [_without_defaults(draft_of(rule)) for rule in stored_rules(session)],
        "roles": [_without_defaults(binding) for binding in stored_bindings(session)],
    }


def plan(session: Session, wanted: PolicyFile) -> Plan:
    """What to do so that `wanted` is in force."""
    stored = {rule.id: draft_of(rule) for rule in stored_rules(session)}
    drafts = {draft.id: draft for draft in wanted.rules}
    bound = set(stored_bindings(session))
    return Plan(
        add=tuple(draft for name, draft in drafts.items() if name not in stored),
        remove=tuple((name, draft) for name, draft in stored.items() if name not in drafts),
        change=tuple(
            (stored[name], drafts[name]) for name in stored if name in drafts and stored[name] != drafts[name]
        ),
        bind=tuple(binding for binding in wanted.roles if binding not in bound),
        unbind=tuple(sorted(bound - set(wanted.roles))),
    )


def carry_out(session: Session, what: Plan, *, who: str, now: float) -> None:
    """Does all of it, or raises RuleRefused, and then nothing of it must be committed."""
    for name, _ in what.remove:
        remove_rule(session, name)
    for draft in (*what.add, *(new for _, new in what.change)):
        write_rule(session, draft, who=who, now=now)
    for binding in what.unbind:
        unbind_role(session, binding)
    for binding in what.bind:
        bind_role(session, binding)


class _Strict(yaml.SafeLoader):
    """Safe YAML in which a key that stands twice is an error, not a quiet choice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        doubled = sorted({str(key) for key in keys if keys.count(key) > 1})
        if doubled:
            raise RuleRefused(f"line {node.start_mark.line + 1}: {', '.join(doubled)} stands there twice")
        return super().construct_mapping(node, deep=deep)


def _parts(text: str) -> dict[str, Any]:
    if len(text) > LARGEST:
        raise RuleRefused(f"a policy file has at most {LARGEST} characters")
    try:
        parts = yaml.load(text, _Strict)  # noqa: S506  # a SafeLoader
    except yaml.YAMLError as error:
        hint = " (a * needs quotes: '*')" if "alias" in str(error) else ""
        raise RuleRefused(f"this is not YAML: {error}{hint}") from error
    except ValueError as error:  # a day or a number that is written like one
        raise RuleRefused(f"a value in it is none: {error}") from error
    except RecursionError as error:
        raise RuleRefused("it is nested too deep") from error
    if not isinstance(parts, dict) or not set(parts) <= {"rules", "roles"}:
        raise RuleRefused("a policy file has two parts: `rules:` and `roles:`; nothing else")
    return parts


def _items(
    listed: Any, part: str, kind: Callable[..., Item], check: Callable[[Item], None], problems: list[str]
) -> list[Item]:
    if listed is None:
        return []
    if not isinstance(listed, list):
        problems.append(f"{part}: must be a list")
        return []
    found: dict[str, Item] = {}
    for number, entry in enumerate(listed, 1):
        try:
            item = _item(entry, kind)
            check(item)
            if found.setdefault(str(item), item) is not item:
                problems.append(f"{part} {number}: says the same as one before it ({item})")
        except RuleRefused as refused:
            problems.append(f"{part} {number}: {refused}")
    return list(found.values())


def _item(entry: Any, kind: Callable[..., Item]) -> Item:
    known = [name.name for name in fields(kind)]  # type: ignore[arg-type]  # both are dataclasses
    if not isinstance(entry, dict):
        raise RuleRefused(f"must be a mapping with some of {', '.join(known)}")
    unknown = sorted(str(key) for key in entry if key not in known)
    if unknown:
        raise RuleRefused(f"{', '.join(unknown)}: not known here; known are {', '.join(known)}")
    values = {key: _ends(value) if key == "ends_at" else value for key, value in entry.items()}
    for key, value in values.items():
        if key != "ends_at" and not isinstance(value, str):
            raise RuleRefused(f"{key}: must be text")
    if values.get("assurance"):
        values["assurance"] = str(parse(str(values["assurance"])))  # in our one spelling, so that equal ones are equal
    try:
        return kind(**values)
    except TypeError as error:
        missing = [name for name in known if name in {"subject", "object", "action", "role"} and name not in values]
        raise RuleRefused(f"{', '.join(missing)}: missing") from error


def _ends(value: Any) -> float:
    """A time of YAML, or its text as in JSON (ISO 8601); a date alone ends as it begins; without a zone it is UTC."""
    if isinstance(value, str):
        with suppress(ValueError):
            value = datetime.fromisoformat(value)
    if isinstance(value, datetime):
        return float(int((value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()))
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC).timestamp()
    raise RuleRefused("ends_at: must be a time such as 2026-12-31T18:00:00Z")


def _without_defaults(item: Draft | Binding) -> dict[str, Any]:
    usual = {"effect": ALLOW, "portal": grammar.ANYTHING, "note": "", "ends_at": None, "assurance": ""}
    said = {name: value for name, value in asdict(item).items() if name not in usual or value != usual[name]}
    if "ends_at" in said:
        said["ends_at"] = datetime.fromtimestamp(said["ends_at"], UTC)
    return said


def extras(draft: Draft) -> str:
    """What a rule says besides itself: until when, and why."""
    ends = "" if draft.ends_at is None else f" until {datetime.fromtimestamp(draft.ends_at, UTC):%Y-%m-%dT%H:%M:%SZ}"
    note = f" ({draft.note})" if draft.note else ""
    sure = f" if {draft.assurance}" if draft.assurance else ""
    return f"{sure}{ends}{note}"
