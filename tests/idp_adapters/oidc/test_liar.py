"""Against npm oauth2-mock-server, which lies in every way that it is told to."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from idp_adapters.contract import IdentityProblem, IdentityRefused, ProviderDown
from tests.idp_adapters.relying import Relying
from tests.servers.oidc.liar import Liar, liar

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.servers


@pytest.fixture(scope="module")
def running() -> Iterator[Liar]:
    with liar() as server:
        yield server


@pytest.fixture
def subject(running: Liar) -> Relying:
    running.node.tell("reset")
    provider: Any = running
    return Relying(provider)


def test_while_it_tells_the_truth_it_is_believed(subject):
    assert (subject.sign_in().issuer, subject.sign_in().subject) == (subject.provider.issuer, "johndoe")


LIES: dict[str, dict[str, Any]] = {
    "another audience": {"claims": {"aud": "other"}},
    "our audience among others": {"claims": {"aud": ["web", "other"]}},
    "another issuer": {"claims": {"iss": "https://evil.example"}},
    "expired": {"claims": {"exp": int(time.time()) - 3600}},
    "never expires": {"without": ["exp"]},
    "no subject": {"without": ["sub"]},
    "a subject of another kind": {"claims": {"sub": {"admin": True}}},
    "another nonce": {"claims": {"nonce": "another"}},
    "issued to another": {"claims": {"azp": "other"}},
    "from tomorrow": {"claims": {"iat": int(time.time()) + 86400, "nbf": int(time.time()) + 86400}},
    "a logout": {"claims": {"events": {"http://schemas.openid.net/event/backchannel-logout": {}}}},
    "somebody else at userinfo": {"userinfo": {"sub": "admin", "groups": ["admins"]}},
    "nobody at userinfo": {"userinfo": {}},
}


@pytest.mark.parametrize("case", LIES)
def test_a_lie_is_refused(subject, case):
    subject.provider.lie(**LIES[case])
    with pytest.raises(IdentityRefused):
        subject.sign_in()


ODD: dict[str, dict[str, Any]] = {
    "an error of its own": {"status": 500, "body": {"message": "call 555-EVIL"}},
    "busy": {"status": 503, "body": {}},
    "an array": {"body": ["tokens"]},
    "a text": {"body": "tokens"},
    "nothing": {"body": {}},
    "an ID token that is none": {"members": {"id_token": "a.b.c"}},
    "an ID token that is a number": {"members": {"id_token": 7}},
    "an ID token that is a book": {"members": {"id_token": "x" * 100_000}},
    "an access token of two lines": {"members": {"access_token": "a\r\nx-evil: 1"}},
    "an error with tokens": {"members": {"error": "555-EVIL"}},
    "userinfo that fails": {"userinfo_status": 500, "userinfo": {"sub": "johndoe"}},
    "userinfo that is a text": {"userinfo": "johndoe"},
    "groups that are objects": {"userinfo": {"sub": "johndoe", "groups": [{"name": "admins"}]}},
}


@pytest.mark.parametrize("case", ODD)
def test_an_odd_answer_signs_nobody_in_and_is_not_repeated(subject, case):
    subject.provider.lie(**ODD[case])
    with pytest.raises(IdentityProblem) as refused:
        subject.sign_in()
    assert "EVIL" not in str(refused.value)


def test_a_renewal_by_a_liar_ends_nobody_for_an_error_and_anybody_for_a_lie(subject):
    keep = subject.sign_in().keep
    subject.provider.lie(status=500, body={})
    with pytest.raises(ProviderDown):
        subject.adapter.renew(keep)
    subject.provider.lie(claims={"sub": "admin"})
    with pytest.raises(IdentityRefused):
        subject.adapter.renew(keep)
