"""Personal tokens, judged without a network."""

from __future__ import annotations

import time

import pytest

from authz.errors import TokenRefused
from authz.fingerprints import fingerprint
from authz.principals import Member
from authz.tokens.access import TokenVerifier
from authz.tokens.cutoffs import Cut, CutOffs
from authz.tokens.personal import CLIENT, PREFIX, Personal
from tests.fakes.tokens import ISSUER, RESOURCE, Judge, good

TOKEN = PREFIX + "a" * 43
NOW = time.time()


def judge(token: str = TOKEN, expires_at: float = NOW + 86400, scope: str = "notes.read") -> Judge:
    held = Personal(
        id="pat_1", person="usr_1", scope=scope, resource=RESOURCE, created_at=NOW - 9, expires_at=expires_at
    )
    return Judge(clients=frozenset({"app", CLIENT}), personal={fingerprint(token): held})


def refusal(judging: Judge, token: str = TOKEN, resource: str = RESOURCE, *, allowed: bool = True) -> str:
    with pytest.raises(TokenRefused) as refused:
        TokenVerifier(ISSUER, personal_tokens=allowed).verify(token.encode(), resource, judging)
    return refused.value.reason


def test_a_personal_token_stands_for_its_person_within_its_scope() -> None:
    principal = TokenVerifier(ISSUER).verify(TOKEN.encode(), RESOURCE, judge())

    assert (principal.label, principal.client, principal.scopes) == ("user:ann", CLIENT, {"notes.read"})


def test_it_is_good_at_its_own_resource_alone() -> None:
    assert refusal(judge(), resource=f"{ISSUER}/servers/notes/mcp") == "audience"


@pytest.mark.parametrize("token", [TOKEN[:-1], TOKEN + "a", TOKEN.upper(), PREFIX, PREFIX + "b" * 43])
def test_t_01_what_is_nearly_a_personal_token_is_nothing(token: str) -> None:
    assert refusal(judge(), token) in {"personal_token", "not_a_jws"}


def test_t_01_the_prefix_leads_to_no_other_kind_of_token() -> None:
    judging = judge()

    assert refusal(judging, PREFIX + good(judging).decode()) == "personal_token"


def test_it_ends_when_it_expires_also_where_it_was_used_before() -> None:
    verifier, judging = TokenVerifier(ISSUER), judge(expires_at=NOW + 100)
    verifier.verify(TOKEN.encode(), RESOURCE, judging, NOW)

    with pytest.raises(TokenRefused, match="not valid"):
        verifier.verify(TOKEN.encode(), RESOURCE, judging, NOW + 131)


def test_it_ends_when_the_next_snapshot_cuts_it_off() -> None:
    verifier, judging = TokenVerifier(ISSUER), judge()
    verifier.verify(TOKEN.encode(), RESOURCE, judging)

    with pytest.raises(TokenRefused):
        verifier.verify(TOKEN.encode(), RESOURCE, judging.turned(cutoffs=CutOffs({(Cut.TOKEN, "pat_1"): NOW})))


@pytest.mark.parametrize("cut", [(Cut.PERSON, "usr_1"), (Cut.CLIENT, CLIENT)])
def test_what_cuts_off_its_person_or_all_of_them_cuts_it_off(cut: tuple[Cut, str]) -> None:
    assert refusal(judge().turned(cutoffs=CutOffs({cut: NOW}))) == "cut_off"


def test_somebody_disabled_has_none() -> None:
    assert refusal(judge().turned(members={"usr_2": Member("usr_2", "user:bob", {})})) == "nobody"


def test_where_they_are_switched_off_none_works() -> None:
    assert refusal(judge(), allowed=False) == "personal_tokens_off"


def test_its_use_is_noted_again_after_a_minute_and_not_at_each_call() -> None:
    verifier, judging = TokenVerifier(ISSUER), judge()
    moments = []
    for second in range(0, 130, 10):
        verifier.verify(TOKEN.encode(), RESOURCE, judging, NOW + second)
        moments += [verifier.uses.pop("pat_1", None)]

    assert [moment is not None for moment in moments] == [True, *[False] * 5] * 2 + [True]


def test_it_is_no_subject_of_an_exchange() -> None:
    with pytest.raises(TokenRefused):
        TokenVerifier(ISSUER).verify_subject(TOKEN.encode(), judge(), NOW)
