"""Our access tokens, judged without a network."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.errors import TokenRefused
from authz.principals import Member, Principal
from authz.scopes import covers, parse_scope
from authz.tokens.access import REMEMBERED, TokenVerifier
from authz.tokens.cutoffs import Cut, CutOffs
from authz.tokens.minting import OPERATOR_CLIENT
from tests.fakes.tokens import ISSUER, RESOURCE, Judge, claims, good, new_key, signed


@pytest.fixture
def verifier() -> TokenVerifier:
    return TokenVerifier(ISSUER)


def refusal(
    verifier: TokenVerifier, token: bytes, judge: Judge, resource: str = RESOURCE, now: float | None = None
) -> str:
    with pytest.raises(TokenRefused) as refused:
        verifier.verify(token, resource, judge, now)
    assert str(refused.value) == "the access token is not valid here"
    return refused.value.reason


def test_a_token_of_ours_leads_to_its_principal(verifier: TokenVerifier) -> None:
    judge = Judge(members={"usr_1": Member("usr_1", "user:ann", {"staff": None}, is_admin=True)})

    principal = verifier.verify(good(judge, scope="notes.* clock.now"), RESOURCE, judge)

    assert principal.label == "user:ann"
    assert principal.subjects == {"user:ann", "group:staff"}
    assert principal.scopes == {"notes.*", "clock.now"}
    assert (principal.client, principal.resource, principal.is_admin) == ("app", RESOURCE, True)
    assert principal.actor is None


def test_a_token_for_one_mount_is_refused_at_another(verifier: TokenVerifier) -> None:
    judge = Judge()
    token = good(judge)

    verifier.verify(token, RESOURCE, judge)

    assert refusal(verifier, token, judge, f"{ISSUER}/servers/notes/mcp") == "audience"


def test_no_token_lives_longer_than_five_minutes(verifier: TokenVerifier) -> None:
    judge = Judge()
    token = good(judge, life=86400)

    assert verifier.verify(token, RESOURCE, judge).expires_at <= time.time() + 300
    assert refusal(verifier, signed(judge, claims(exp=int(time.time()) + 3600)), judge) == "life"


@pytest.mark.parametrize(("kind", "key"), [(Cut.PERSON, "usr_1"), (Cut.CLIENT, "app"), (Cut.FAMILY, "f")])
def test_a_cut_ends_what_was_issued_before_it_and_nothing_later(verifier: TokenVerifier, kind: Cut, key: str) -> None:
    judge, now = Judge(), time.time()
    before = good(judge, family="f", now=now - 10)
    verifier.verify(before, RESOURCE, judge)

    cut = judge.turned(cutoffs=CutOffs({(kind, key): now - 5}))

    assert refusal(verifier, before, cut) == "cut_off"
    verifier.verify(good(judge, family="f", now=now), RESOURCE, cut)


def test_one_token_alone_can_be_ended(verifier: TokenVerifier) -> None:
    judge = Judge()
    one, other = good(judge), good(judge)
    jti = verifier.verify(one, RESOURCE, judge).claims["jti"]

    cut = judge.turned(cutoffs=CutOffs({(Cut.TOKEN, jti): time.time()}))

    assert refusal(verifier, one, cut) == "cut_off"
    verifier.verify(other, RESOURCE, cut)


def test_whoever_is_gone_from_the_snapshot_has_no_principal(verifier: TokenVerifier) -> None:
    judge = Judge()
    token = good(judge)
    verifier.verify(token, RESOURCE, judge)

    assert refusal(verifier, token, judge.turned(members={})) == "nobody"
    assert refusal(verifier, token, judge.turned(clients=frozenset())) == "client"


def test_the_principal_is_made_anew_when_the_snapshot_moves(verifier: TokenVerifier) -> None:
    judge = Judge()
    token = good(judge)
    verifier.verify(token, RESOURCE, judge)

    moved = judge.turned(members={"usr_1": Member("usr_1", "user:ann", {"new": None})})

    assert "group:new" in verifier.verify(token, RESOURCE, moved).subjects


def test_a_membership_ends_in_the_middle_of_an_epoch(verifier: TokenVerifier) -> None:
    now = time.time()
    judge = Judge(members={"usr_1": Member("usr_1", "user:ann", {"guests": now + 60})})
    token = good(judge, now=now)

    assert "group:guests" in verifier.verify(token, RESOURCE, judge, now + 59).subjects
    assert "group:guests" not in verifier.verify(token, RESOURCE, judge, now + 61).subjects


def test_what_is_remembered_expires_with_the_token(verifier: TokenVerifier) -> None:
    judge, now = Judge(), time.time()
    token = good(judge, now=now)

    assert verifier.verify(token, RESOURCE, judge, now) is verifier.verify(token, RESOURCE, judge, now + 1)
    assert refusal(verifier, token, judge, now=int(now) + 331) == "expired"


def test_what_is_remembered_does_not_outlive_its_key(verifier: TokenVerifier) -> None:
    judge = Judge()
    token = good(judge)
    verifier.verify(token, RESOURCE, judge)

    assert refusal(verifier, token, Judge(key=new_key()).turned()) == "unknown_key"


def test_no_more_is_remembered_than_there_is_room_for(verifier: TokenVerifier) -> None:
    judge = Judge()
    principal = verifier.verify(good(judge), RESOURCE, judge)
    proved = next(iter(verifier._proved.values()))
    for number in range(REMEMBERED + 10):
        verifier._remember(number.to_bytes(32, "big"), proved)

    assert len(verifier._proved) == REMEMBERED
    assert principal.label == "user:ann"


def test_tokens_of_the_command_line_can_be_switched_off() -> None:
    judge = Judge(clients=frozenset({OPERATOR_CLIENT}))
    token = good(judge, client=OPERATOR_CLIENT, act=("operator:root",))

    assert TokenVerifier(ISSUER).verify(token, RESOURCE, judge).claims["act"] == {"sub": "operator:root"}
    assert refusal(TokenVerifier(ISSUER, operator_tokens=False), token, judge) == "operator_tokens_off"


def test_who_acts_is_asked_about_too_nearest_first(verifier: TokenVerifier) -> None:
    judge = acted_for()
    person = verifier.verify(good(judge, client="agt_1", act=("agt_1", "agt_2", "operator:root")), RESOURCE, judge)
    assert person.label == "user:ann"
    assert person.actor is not None
    assert person.actor.label == "agent:nightly"
    assert person.actor.subjects == {"agent:nightly", "group:robots"}
    assert person.actor.scopes == person.scopes
    assert person.actor.actor is not None
    assert (person.actor.actor.label, person.actor.actor.actor) == ("agent:second", None)


def test_an_actor_whom_nobody_knows_is_refused(verifier: TokenVerifier) -> None:
    judge = Judge()
    assert refusal(verifier, signed(judge, claims(act={"sub": "agt_x"})), judge) == "nobody"


@pytest.mark.parametrize(
    "act",
    [
        "agt_1", [], {}, None, {"sub": ""}, {"sub": 1}, {"sub": ["agt_1"]}, {"sub": "agt_1", "iss": "https://evil.example"},
        {"sub": "agt_1", "act": None}, {"sub": "agt_1", "act": "agt_2"}, {"act": {"sub": "agt_1"}}, [{"sub": "agt_1"}],
    ],
)  # fmt: skip
def test_a_chain_of_any_other_shape_is_refused(verifier: TokenVerifier, act: Any) -> None:
    judge = acted_for()
    said = claims() | {"act": act}
    assert refusal(verifier, signed(judge, said), judge) == "claim_act"


def test_t_16_a_chain_of_four_is_the_deepest(verifier: TokenVerifier) -> None:
    judge = acted_for()
    assert verifier.verify(good(judge, act=("agt_1", "agt_2") * 2), RESOURCE, judge).actor
    assert refusal(verifier, good(judge, act=("agt_1", "agt_2") * 2 + ("agt_1",)), judge) == "claim_act"


def test_whoever_acts_is_cut_off_with_all_that_they_do(verifier: TokenVerifier) -> None:
    judge = acted_for()
    token = good(judge, client="app", act=("agt_1", "agt_2"), delegation="dlg_1", source="j0")
    assert verifier.verify(token, RESOURCE, judge)
    for kind, key in ((Cut.PERSON, "agt_2"), (Cut.PERSON, "usr_1"), (Cut.DELEGATION, "dlg_1"), (Cut.TOKEN, "j0")):
        cut = judge.turned(cutoffs=CutOffs({(kind, key): time.time() + 60}))
        assert refusal(verifier, token, cut) == "cut_off"
    assert refusal(verifier, token, judge.turned(members={"usr_1": judge.members["usr_1"]})) == "nobody"


def test_an_end_of_an_actors_group_is_felt(verifier: TokenVerifier) -> None:
    now = time.time()
    member = Member("agt_1", "agent:nightly", {"robots": now + 5})
    judge = acted_for(agt_1=member)
    token = good(judge, now=now, act=("agt_1",))
    assert "group:robots" in actor_of(verifier.verify(token, RESOURCE, judge, now)).subjects
    assert "group:robots" not in actor_of(verifier.verify(token, RESOURCE, judge, now + 6)).subjects


def test_t_18_a_tool_token_leads_to_no_other_token(verifier: TokenVerifier) -> None:
    judge = acted_for()
    assert verifier.verify_subject(good(judge), judge, time.time()).label == "user:ann"
    with pytest.raises(TokenRefused) as refused:
        verifier.verify_subject(good(judge, token_use="tool"), judge, time.time())
    assert refused.value.reason == "tool_token"


def test_what_has_expired_leads_to_nothing_new(verifier: TokenVerifier) -> None:
    judge, now = Judge(), time.time()
    token = good(judge, now=now - 301)
    assert verifier.verify(token, RESOURCE, judge, now)  # clocks may differ by as much
    with pytest.raises(TokenRefused):
        verifier.verify_subject(token, judge, now)


def test_a_token_lives_no_longer_than_what_it_was_made_from(verifier: TokenVerifier) -> None:
    judge, now = Judge(), time.time()
    for ends_at, left in ((now + 40, 40), (now + 4000, 300), (now - 40, 1)):
        assert (
            verifier.verify(good(judge, now=now, ends_at=ends_at), RESOURCE, judge, now).expires_at == int(now) + left
        )


def acted_for(**members: Member) -> Judge:
    known = {
        "usr_1": Member("usr_1", "user:ann", {}),
        "agt_1": Member("agt_1", "agent:nightly", {"robots": None}),
        "agt_2": Member("agt_2", "agent:second", {}),
    }
    return Judge(members=known | members, clients=frozenset({"app", "agt_1"}))


def actor_of(principal: Principal) -> Principal:
    assert principal.actor is not None
    return principal.actor


@given(st.binary(max_size=400))
def test_junk_is_refused_and_nothing_else_happens(junk: bytes) -> None:
    with pytest.raises(TokenRefused):
        TokenVerifier(ISSUER).verify(junk, RESOURCE, Judge())


@given(st.data())
def test_a_changed_byte_anywhere_is_refused(data: st.DataObject) -> None:
    judge = Judge()
    token = bytearray(good(judge))
    place = data.draw(st.integers(0, len(token) - 1))
    token[place] = data.draw(st.integers(0, 255).filter(lambda byte: byte != token[place]))

    with pytest.raises(TokenRefused):
        TokenVerifier(ISSUER).verify(bytes(token), RESOURCE, judge)


names = st.sampled_from(["mcp", "notes.*", "notes.add", "clock.*", "clock.now"])


@given(st.sets(names, min_size=1), st.sets(names, min_size=1))
def test_a_narrower_scope_never_reaches_what_the_wider_did_not(granted: set[str], wanted: set[str]) -> None:
    def reach(scopes: set[str]) -> set[str]:
        tools = {"notes.add", "notes.delete", "clock.now", "other.tool"}
        return {tool for tool in tools if {"mcp", tool, f"{tool.split('.')[0]}.*"} & scopes}

    if covers(parse_scope(" ".join(granted)), parse_scope(" ".join(wanted))):
        assert reach(wanted) <= reach(granted)
