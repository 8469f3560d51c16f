"""What is said to somebody who was refused, and what is kept."""

import pytest

from idp_adapters.directory import refusals
from idp_adapters.directory.policy import WRONG

WITH_ANY_PASSWORD = ["525", "52e", "775"]
TEXT = "80090308: LdapErr: DSID-0C09044E, comment: AcceptSecurityContext error, data {}, v4563"


@pytest.mark.parametrize("code", WITH_ANY_PASSWORD)
def test_what_is_answered_to_any_password_says_nothing_of_the_account(code):
    refused = refusals.by_text(TEXT.format(code))
    assert str(refused) == WRONG
    assert code in refused.reason


@pytest.mark.parametrize("code", sorted(refusals.ACTIVE_DIRECTORY.keys() - set(WITH_ANY_PASSWORD)))
def test_whoever_knows_the_password_is_told_what_to_do(code):
    refused = refusals.by_text(TEXT.format(code))
    assert str(refused) != WRONG
    assert code in refused.reason


def test_a_lock_is_told_by_the_policy_control_with_any_password_and_said_to_nobody():
    assert str(refusals.by_policy(1)) == WRONG
    assert refusals.by_policy(1).reason == "account_locked.policy_1"


@pytest.mark.parametrize("code", [0, 2])
def test_an_expired_password_is_said(code):
    assert "password" in str(refusals.by_policy(code))
    assert str(refusals.by_policy(code)) != WRONG


@pytest.mark.parametrize("text", ["", "data", "data zzz", "nothing known", "data 52e" + "x", "call 555-EVIL, data 999"])
def test_a_text_that_is_not_understood_is_a_wrong_password_and_is_not_repeated(text):
    refused = refusals.by_text(text)
    assert str(refused) == WRONG
    assert "EVIL" not in refused.reason
