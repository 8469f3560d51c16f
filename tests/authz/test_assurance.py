"""Rules that ask how somebody signed in."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from authz.assurance import Assurance, parse
from authz.errors import RuleRefused
from authz.policy.decisions import Action, Word
from authz.policy.file import read, write
from authz.policy.policy import Policy
from authz.policy.rules import Draft, draft_of, stored_rules, write_rule
from authz.principals import VerifiedClaims
from authz.tables import Rule
from registry.database import Concern
from tests.fakes.parties import database_in, principal

if TYPE_CHECKING:
    from pathlib import Path

    from authz.principals import Principal

NOW = 1_800_000_000.0


def rule(assurance: str, **more: Any) -> Rule:
    said = {"id": "r1", "subject": "user:ed", "object": "notes.*", "action": "*", "condition": {"assurance": assurance}}
    return Rule(**(said | more))


def policy(*rules: Rule) -> Policy:
    return Policy(rules, clock=lambda: NOW)


def signed_in(*, acr: str = "", amr: str = "", ago: float = 0, jkt: str = "", label: str = "user:ed") -> Principal:
    claims = VerifiedClaims({"acr": acr, "amr": amr.split(), "auth_time": NOW - ago})
    return replace(principal(label), claims=claims, jkt=jkt)


@pytest.mark.parametrize(
    ("wanted", "enough", "short"),
    [
        ("acr:gold acr:silver", {"acr": "silver"}, {"acr": "bronze"}),
        ("amr:mfa amr:otp", {"amr": "pwd otp mfa"}, {"amr": "pwd mfa"}),
        ("max_age:600", {"ago": 599}, {"ago": 600}),
        ("dpop", {"jkt": "x"}, {}),
        ("acr:gold amr:mfa max_age:60 dpop", {"acr": "gold", "amr": "mfa", "jkt": "x"}, {"acr": "gold", "amr": "mfa"}),
    ],
)
def test_a_use_is_allowed_to_whoever_signed_in_so(wanted: str, enough: dict[str, Any], short: dict[str, Any]) -> None:
    asked = policy(rule(wanted))
    assert asked.decide(signed_in(**enough), "default", "notes.add", Action.CALL)
    refused = asked.decide(signed_in(**short), "default", "notes.add", Action.CALL)
    assert (refused.allowed, refused.word, refused.rule, refused.needs) == (False, Word.STEP_UP, "r1", parse(wanted))
    assert refused.stronger_token_helps
    assert not refused.wider_token_helps


def test_nothing_known_is_not_enough() -> None:
    asked = policy(rule("max_age:600"))
    assert not asked.decide(principal("user:ed"), "default", "notes.add", Action.CALL)


def test_it_is_seen_without_so_that_people_know_what_to_sign_in_for() -> None:
    asked = policy(rule("amr:mfa"))
    for seeing in (Action.LIST, Action.SEE_TOOL, Action.SEE_PROMPT, Action.SEE_RESOURCE):
        assert asked.decide(signed_in(), "default", "notes.add", seeing)


def test_a_sign_in_that_is_recent_enough_is_so_until_it_is_not() -> None:
    assert (
        policy(rule("max_age:600")).decide(signed_in(ago=100), "default", "notes.add", Action.CALL).until == NOW + 500
    )


def test_another_rule_allows_without() -> None:
    asked = policy(rule("amr:mfa"), rule("", id="r2", object="notes.list", condition=None))
    assert asked.decide(signed_in(), "default", "notes.list", Action.CALL)
    assert not asked.decide(signed_in(), "default", "notes.add", Action.CALL)


def test_a_deny_is_not_lifted_by_signing_in_otherwise() -> None:
    asked = policy(rule("amr:mfa"), rule("", id="r2", object="notes.add", effect="deny", condition=None))
    for who in (signed_in(), signed_in(amr="mfa")):
        assert asked.decide(who, "default", "notes.add", Action.CALL).word is Word.DENIED


def test_one_answer_is_not_kept_for_somebody_who_signed_in_otherwise() -> None:
    asked = policy(rule("amr:mfa"))
    for _ in range(2):
        assert asked.decide(signed_in(amr="mfa"), "default", "notes.add", Action.CALL)
        assert not asked.decide(signed_in(), "default", "notes.add", Action.CALL)


def test_who_acts_is_as_sure_as_the_token_that_they_act_with() -> None:
    asked = policy(rule("amr:mfa"), rule("amr:mfa", id="r2", subject="agent:n"))
    for amr, answer in (("mfa", True), ("pwd", False)):
        acting = replace(signed_in(amr=amr), actor=signed_in(amr=amr, label="agent:n"))
        assert bool(asked.decide(acting, "default", "notes.add", Action.CALL)) is answer


@pytest.mark.parametrize(
    "condition",
    [
        {"assurance": "nonsense"},
        {"assurance": 1},
        {"assurance": ""},
        {},
        {"assurance": "amr:mfa", "more": 1},
        {"x": "y"},
    ],
)
def test_t_42_a_condition_that_nobody_knows_allows_nothing(condition: dict[str, Any]) -> None:
    asked = policy(rule("", condition=condition))
    decision = asked.decide(signed_in(amr="mfa"), "default", "notes.add", Action.CALL)
    assert (decision.allowed, decision.word) == (False, Word.NO_RULE)
    denying = policy(rule("", condition=None), rule("", id="r2", effect="deny", condition=condition))
    assert denying.decide(signed_in(amr="mfa"), "default", "notes.add", Action.CALL).word is Word.DENIED


def test_a_demand_on_a_deny_denies() -> None:
    asked = policy(rule("", condition=None), rule("amr:mfa", id="r2", effect="deny"))
    for who in (signed_in(), signed_in(amr="mfa")):
        assert asked.decide(who, "default", "notes.add", Action.CALL).word is Word.DENIED


@pytest.mark.parametrize(
    "text",
    ["", " ", "mfa", "amr:", "amr:a b", "max_age:0", "max_age:-1", "max_age:x", "max_age:99999999",
     "max_age:1 max_age:2", "dpop dpop", "acr:a  amr:b", 'amr:"', "acr:__import__('os')", "max_age:700000"],
)  # fmt: skip
def test_what_is_not_a_demand_is_refused(text: str) -> None:
    with pytest.raises(RuleRefused):
        parse(text)


def test_a_demand_is_written_as_it_is_read() -> None:
    demand = Assurance(("urn:x:gold", "silver"), ("mfa",), 600, dpop=True)
    assert parse(str(demand)) == demand


def test_rules_with_a_demand_are_stored_and_exported(tmp_path: Path) -> None:
    with database_in(tmp_path) as database, database.change(Concern.POLICY) as session:
        draft = Draft(subject="group:ops", object="notes.delete", action="call", assurance="max_age:600 amr:mfa")
        write_rule(session, draft, who="operator:x", now=NOW)
        (stored,) = stored_rules(session)
        assert draft_of(stored).assurance == "amr:mfa max_age:600"
        assert read(write(session)).rules == (draft_of(stored),)
        for wrong in (replace(draft, effect="deny"), replace(draft, action="list"), replace(draft, assurance="x")):
            with pytest.raises(RuleRefused, match="assurance"):
                write_rule(session, wrong, who="operator:x", now=NOW)
