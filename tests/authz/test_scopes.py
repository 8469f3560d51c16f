"""What we advise somebody to ask for is always something that they may ask for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.grammar import place
from authz.policy.decisions import Action
from authz.policy.policy import Policy
from authz.policy.suppose import Supposed
from authz.scopes import ALL, LIMIT, covers, parse_scope, scope_for, wider
from authz.tables import Rule

NAMES = ["notes.add", "notes.note://one", "notes.note://a%20b", 'notes.note://"x"', "notes.x://" + "a" * 300, "n.x://é"]


@pytest.mark.parametrize("name", NAMES)
def test_the_scope_for_a_thing_is_one_that_can_be_asked_for_and_covers_it(name: str) -> None:
    scope = scope_for(name)
    assert parse_scope(scope) == {scope}
    assert scope in {name, f"{name.partition('.')[0]}.*"}


@given(name=st.from_regex(r"[a-z]{1,8}\.(?:[A-Za-z0-9_.-]{1,128}|[a-z]{1,5}:\S{0,300})", fullmatch=True))
def test_whatever_policy_can_be_asked_about_has_a_scope(name: str) -> None:
    if place(name) is not None:
        assert covers(parse_scope(scope_for(name)), parse_scope(scope_for(name)))


def test_more_scopes_than_a_token_may_have_become_all() -> None:
    many = frozenset(f"notes.t{number}" for number in range(LIMIT))
    assert wider(many, "notes.add") == ALL
    assert parse_scope(wider(frozenset({"notes.t1"}), "notes.add")) == {"notes.t1", "notes.add"}


@pytest.mark.parametrize("name", NAMES)
def test_the_remedy_names_a_scope_that_helps(name: str) -> None:
    policy = Policy([Rule(id="r1", subject="user:ann", object=f"{name.partition('.')[0]}.*", action="*")])
    asking = Supposed(label="user:ann", subjects=frozenset({"user:ann"}), client="", scopes=frozenset({"other.*"}))
    refused = policy.decide(asking, "default", name, Action.READ)
    assert f"the scope {scope_for(name)} (or mcp)" in refused.remedy
    better = Supposed(label="user:ann", subjects=asking.subjects, client="", scopes=parse_scope(scope_for(name)))
    assert policy.decide(better, "default", name, Action.READ)
