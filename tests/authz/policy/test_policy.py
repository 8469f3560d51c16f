from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.policy.decisions import Word
from authz.policy.policy import Action, Policy
from authz.tables import RoleBinding, Rule
from tests.fakes.parties import principal

EDITORS = Rule(id="r1", subject="group:editors", object="notes.*", action="call")
EDITOR = principal("user:ed", "editors")
READER = principal("user:rita", "readers")


def test_without_rules_everything_is_denied_and_it_says_so():
    decision = Policy().decide(EDITOR, "default", "notes.add", Action.LIST)
    assert not decision
    assert decision.word is Word.NO_POLICY


def test_call_implies_seeing_tools_and_nothing_else():
    policy = Policy([EDITORS], epoch=7)
    allowed = {action for action in Action if policy.decide(EDITOR, "default", "notes.add", action)}
    assert allowed == {Action.LIST, Action.SEE_TOOL, Action.CALL}
    assert policy.decide(EDITOR, "default", "notes.add", Action.CALL).rule == "r1"
    assert policy.decide(EDITOR, "default", "notes.add", Action.CALL).epoch == 7


@pytest.mark.parametrize("action", [Action.READ, Action.GET])
def test_read_and_get_imply_list(action):
    policy = Policy([Rule(id="r", subject="user:ed", object="notes.x", action=action)])
    assert policy.decide(EDITOR, "default", "notes.x", action)
    assert policy.decide(EDITOR, "default", "notes.x", Action.LIST)
    assert policy.decide(EDITOR, "default", "notes.x", action.seeing)


def test_a_right_to_read_all_resources_of_a_server_shows_none_of_its_tools():
    policy = Policy([Rule(id="r", subject="user:ed", object="notes.*", action="read")])
    assert policy.decide(EDITOR, "default", "notes.notes://index", Action.SEE_RESOURCE)
    assert not policy.decide(EDITOR, "default", "notes.add", Action.SEE_TOOL)
    assert not policy.decide(EDITOR, "default", "notes.tidy", Action.SEE_PROMPT)


def test_list_without_call_shows_a_tool_that_is_then_refused_with_reason_and_remedy():
    policy = Policy([Rule(id="r", subject="group:readers", object="notes.notes_delete", action="list")])
    assert policy.decide(READER, "default", "notes.notes_delete", Action.LIST)
    refused = policy.decide(READER, "default", "notes.notes_delete", Action.CALL)
    assert not refused
    assert "user:rita" in refused.reason
    assert "notes.notes_delete" in refused.reason
    assert "administrator" in refused.remedy


def test_the_note_of_the_rule_that_shows_it_says_why_it_is_not_given():
    shown = Rule(id="r", subject="group:readers", object="notes.delete", action="list", note="deleting is for editors")
    refused = Policy([shown, EDITORS]).decide(READER, "default", "notes.delete", Action.CALL)
    assert refused.reason == "No rule allows user:rita to call notes.delete here: deleting is for editors."
    assert refused.rule == ""


def test_a_deny_wins_over_every_allow_and_its_note_is_told():
    deny = Rule(
        id="d", subject="group:trainees", object="notes.add", action="call", effect="deny", note="after training"
    )
    both = principal("user:tom", "editors", "trainees")
    policy = Policy([EDITORS, deny])
    refused = policy.decide(both, "default", "notes.add", Action.CALL)
    assert (refused.allowed, refused.word, refused.rule) == (False, Word.DENIED, "d")
    assert refused.reason.endswith("after training.")
    assert policy.decide(both, "default", "notes.add", Action.LIST)
    assert policy.decide(both, "default", "notes.get", Action.CALL)


def test_what_may_not_be_seen_may_not_be_used():
    deny = Rule(id="d", subject="user:ed", object="notes.secret", action="list", effect="deny")
    policy = Policy([Rule(id="a", subject="user:ed", object="notes.*", action="*"), deny])
    assert not any(policy.decide(EDITOR, "default", "notes.secret", action) for action in Action)


def test_a_portal_is_a_domain_and_a_star_is_all_of_them():
    policy = Policy([Rule(id="r", subject="user:ed", portal="server:notes", object="notes.*", action="call"), EDITORS])
    assert policy.decide(EDITOR, "server:notes", "notes.add", Action.CALL).rule in {"r", "r1"}
    only = Policy([Rule(id="r", subject="user:ed", portal="server:notes", object="notes.*", action="call")])
    assert only.decide(EDITOR, "server:notes", "notes.add", Action.CALL)
    assert not only.decide(EDITOR, "default", "notes.add", Action.CALL)


def test_roles_hold_in_the_portals_they_are_given_in():
    rules = [Rule(id="r", subject="role:editor", object="notes.*", action="call")]
    policy = Policy(rules, [RoleBinding(subject="group:readers", role="editor", portal="default")])
    assert policy.decide(READER, "default", "notes.add", Action.CALL)
    assert not policy.decide(READER, "server:notes", "notes.add", Action.CALL)
    assert not policy.decide(EDITOR, "default", "notes.add", Action.CALL)


def test_a_role_bound_to_a_role_gives_nothing():
    rules = [Rule(id="r", subject="role:admin", object="notes.*", action="call")]
    bindings = [
        RoleBinding(subject="user:ed", role="editor", portal="*"),
        RoleBinding(subject="role:editor", role="admin", portal="*"),
    ]
    assert not Policy(rules, bindings).decide(EDITOR, "default", "notes.add", Action.CALL)


def test_both_who_act_must_be_allowed():
    agent = principal("agent:nightly", "editors")
    policy = Policy([EDITORS])
    assert policy.decide(principal("user:ed", "editors", actor=agent), "default", "notes.add", Action.CALL)
    lent = policy.decide(principal("user:rita", "readers", actor=agent), "default", "notes.add", Action.CALL)
    borrowed = policy.decide(
        principal("user:ed", "editors", actor=principal("agent:odd")), "default", "notes.add", Action.CALL
    )
    assert not lent
    assert not borrowed
    assert "agent:odd, acting for user:ed," in borrowed.reason


def test_scopes_only_narrow():
    policy = Policy([EDITORS])
    for scopes, allowed in [
        (("mcp",), True),
        (("notes.*",), True),
        (("notes.add",), True),
        (("notes.get",), False),
        ((), False),
    ]:
        decision = policy.decide(principal("user:ed", "editors", scopes=scopes), "default", "notes.add", Action.CALL)
        assert bool(decision) is allowed
    assert decision.wider_token_helps
    assert not policy.decide(READER, "default", "notes.add", Action.CALL).wider_token_helps
    narrow = principal("user:rita", "readers", scopes=("notes.get",))
    assert not policy.decide(narrow, "default", "notes.add", Action.CALL).wider_token_helps


def test_a_client_may_restrict_but_never_be_granted_anything():
    grant = Rule(id="g", subject="client:app", object="notes.*", action="call")
    deny = Rule(id="d", subject="client:app", object="notes.delete", action="call", effect="deny")
    assert not Policy([grant]).decide(principal("user:x", client="app"), "default", "notes.add", Action.CALL)
    policy = Policy([EDITORS, deny])
    through = principal("user:ed", "editors", client="app")
    assert not policy.decide(through, "default", "notes.delete", Action.CALL)
    assert policy.decide(through, "default", "notes.add", Action.CALL)
    assert policy.decide(EDITOR, "default", "notes.delete", Action.CALL)
    assert policy.view_key(through, "default") != policy.view_key(EDITOR, "default")


def test_a_rule_ends_when_it_says_and_the_answer_says_when_that_is():
    now = [1000.0]
    short = Rule(id="r", subject="user:ed", object="notes.add", action="call", ends_at=1100.0)
    policy = Policy([short], clock=lambda: now[0])
    assert policy.decide(EDITOR, "default", "notes.add", Action.CALL).until == 1100.0
    assert policy.view_until(EDITOR, "default") == 1100.0
    now[0] = 1100.0
    assert not policy.decide(EDITOR, "default", "notes.add", Action.CALL)
    assert policy.view_until(EDITOR, "default") is None


def test_a_deny_that_ends_gives_way():
    now = [0.0]
    deny = Rule(id="d", subject="user:ed", object="notes.add", action="call", effect="deny", ends_at=50.0)
    policy = Policy([EDITORS, deny], clock=lambda: now[0])
    assert not policy.decide(EDITOR, "default", "notes.add", Action.CALL)
    now[0] = 51.0
    assert policy.decide(EDITOR, "default", "notes.add", Action.CALL)


def test_the_chain_lasts_as_long_as_its_shortest_part():
    rules = [EDITORS, Rule(id="a", subject="agent:n", object="notes.*", action="call", ends_at=4e9)]
    person = principal("user:ed", "editors", actor=principal("agent:n"))
    assert Policy(rules).decide(person, "default", "notes.add", Action.CALL).until == 4e9


def test_an_unknown_condition_never_allows_and_always_denies():
    allow = Rule(id="a", subject="user:ed", object="notes.add", action="call", condition={"max": 3})
    deny = Rule(id="d", subject="group:editors", object="notes.get", action="call", effect="deny", condition={"max": 3})
    policy = Policy([allow, EDITORS, deny])
    assert not Policy([allow]).decide(EDITOR, "default", "notes.add", Action.CALL)
    assert not policy.decide(EDITOR, "default", "notes.get", Action.CALL)
    assert policy.decide(EDITOR, "default", "notes.add", Action.CALL).rule == "r1"


def test_an_obligation_that_cannot_be_met_yet_does_not_allow():
    allow = Rule(id="a", subject="user:ed", object="notes.add", action="call", obligations=["approval"])
    assert not Policy([allow]).decide(EDITOR, "default", "notes.add", Action.CALL)


def test_people_of_the_same_standing_share_a_view_and_others_do_not():
    policy = Policy([EDITORS])
    assert policy.view_key(EDITOR, "default") == policy.view_key(principal("user:eve", "editors", "chess"), "default")
    assert policy.view_key(EDITOR, "default") != policy.view_key(READER, "default")
    assert policy.view_key(EDITOR, "default") != policy.view_key(EDITOR, "server:notes")
    narrow = principal("user:ed", "editors", scopes=("notes.add",))
    assert policy.view_key(EDITOR, "default") != policy.view_key(narrow, "default")
    assert policy.view_key(EDITOR, "default") != Policy([EDITORS], epoch=9).view_key(EDITOR, "default")
    agent = principal("user:ed", "editors", actor=READER)
    assert policy.view_key(EDITOR, "default") != policy.view_key(agent, "default")


def test_every_decision_has_an_id_of_its_own():
    policy = Policy([EDITORS])
    assert len({policy.decide(EDITOR, "default", "notes.add", Action.CALL).id for _ in range(100)}) == 100


def test_threads_do_not_mix_their_questions():
    policy = Policy([EDITORS])
    wrong = []

    def ask(who, expected):
        for _ in range(300):
            policy._standings.clear()  # so that Casbin itself is asked each time
            policy._shared.clear()
            if bool(policy.decide(who, "default", "notes.add", Action.CALL)) is not expected:
                wrong.append(who.label)

    threads = [threading.Thread(target=ask, args=pair) for pair in ((EDITOR, True), (READER, False)) * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong


def test_an_answer_given_before_is_cheap_and_ten_thousand_rules_cost_what_ten_do():
    def cpu(rules: int) -> float:
        policy = Policy(
            [Rule(id=f"r{i}", subject=f"group:g{i % 50}", object=f"s.t{i}", action="call") for i in range(rules)]
        )
        who = principal("user:a", *(f"g{i}" for i in range(25)))
        started = time.process_time()
        for number in range(1000):
            policy.decide(who, "default", f"s.t{number}", Action.LIST)
        return time.process_time() - started

    assert cpu(10_000) < 1.0  # the first list of 1,000 tools: 0.1 s is the budget, tenfold slack


# A model of the policy in a dozen lines, against the real one.

SUBJECTS = ["user:a", "group:g", "group:h", "role:x", "agent:n"]
RULES = st.builds(
    dict,
    subject=st.sampled_from(SUBJECTS),
    portal=st.sampled_from(["*", "default", "server:s"]),
    object=st.sampled_from(["s.t", "s.u", "s.*", "z.t", "z.*"]),
    action=st.sampled_from(["list", "call", "read", "get", "*"]),
    effect=st.sampled_from(["allow", "allow", "deny"]),
)


def model(rules, subjects, portal, name, action):
    def matches(rule):
        covers = rule["object"] in {name, name.split(".")[0] + ".*"}
        return covers and rule["portal"] in {"*", portal} and rule["subject"] in subjects

    shown = {"list tool": {"list", "call"}, "list resource": {"list", "read"}, "list prompt": {"list", "get"}}
    words = {"*", *shown.get(action, {action})}
    allows = any(matches(r) and r["effect"] == "allow" and (r["action"] in words or action == "list") for r in rules)
    denies = any(matches(r) and r["effect"] == "deny" and r["action"] in {"*", "list", action} for r in rules)
    return allows and not denies


@given(
    rules=st.lists(RULES, max_size=8),
    groups=st.sets(st.sampled_from(["g", "h"])),
    bound=st.booleans(),
    portal=st.sampled_from(["default", "server:s"]),
    name=st.sampled_from(["s.t", "s.u", "s.other", "z.t"]),
    action=st.sampled_from(list(Action)),
)
def test_it_decides_like_its_model(rules, groups, bound, portal, name, action):
    rows = [Rule(id=f"r{number}", **rule) for number, rule in enumerate(rules)]
    policy = Policy(rows, [RoleBinding(subject="user:a", role="x", portal="default")] if bound else [])
    who = principal("user:a", *groups)
    subjects = who.subjects | ({"role:x"} if bound and portal == "default" else set())
    expected = model(rules, subjects, portal, name, action)
    assert bool(policy.decide(who, portal, name, action)) is expected
    assert bool(policy.decide(who, portal, name, action)) is expected
    if expected:
        assert policy.decide(who, portal, name, action.seeing)
        assert policy.decide(who, portal, name, Action.LIST)
