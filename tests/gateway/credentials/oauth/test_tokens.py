"""What a token endpoint may answer, and what it means."""

from __future__ import annotations

import pytest

from gateway.credentials import Refused, Unanswered
from gateway.credentials.oauth.asking import tokens
from gateway.credentials.oauth.client.proving import App
from tests.fakes.providers.openid import Reply

FORM = {"grant_type": "client_credentials"}
GOOD = {"access_token": "a", "token_type": "Bearer"}


@pytest.fixture
def ask(office, fake):
    def asked(body, status=200, headers=()):
        fake.replies["/token"] = lambda _: Reply(status, body, headers)
        return tokens.request(office.equipment, f"{fake.origin}/token", App(id="c"), FORM)

    return asked


def test_a_token_is_taken_with_what_is_said_of_it(ask):
    granted = ask(GOOD | {"expires_in": 60, "refresh_token": "r", "scope": "a b", "refresh_expires_in": 600})
    assert (granted.access, granted.refresh, granted.expires_in) == ("a", "r", 60)
    assert (granted.scopes, granted.refresh_expires_in) == (("a", "b"), 600)


def test_what_is_not_said_is_not_made_up(ask):
    granted = ask(GOOD)
    assert (granted.refresh, granted.expires_in, granted.scopes) == ("", None, None)


@pytest.mark.parametrize("kind", ["bearer", "BEARER"])
def test_the_type_is_read_as_it_is_meant(ask, kind):
    assert ask(GOOD | {"token_type": kind}).access == "a"


def test_seconds_may_be_written_as_text(ask):
    assert ask(GOOD | {"expires_in": "3600"}).expires_in == 3600


def test_no_secret_is_in_a_repr(ask):
    assert "s3cret" not in repr(ask(GOOD | {"access_token": "s3cret", "refresh_token": "s3cret"}))
    assert "s3cret" not in repr(App(id="c", secret="s3cret", key=b"s3cret"))


@pytest.mark.parametrize(
    "change",
    [
        {"token_type": "DPoP"},
        {"token_type": None},
        {"token_type": 1},
        {"access_token": ""},
        {"access_token": None},
        {"access_token": 1},
        {"access_token": "a b"},
        {"access_token": "a\r\nX-Evil: 1"},
        {"access_token": "ä"},
        {"access_token": "x" * 20_000},
        {"refresh_token": ["r"]},
        {"refresh_token": "r\n"},
        {"expires_in": -1},
        {"expires_in": True},
        {"expires_in": "soon"},
        {"expires_in": 1e30},
        {"expires_in": [60]},
    ],
    ids=str,
)
def test_an_answer_that_is_not_as_it_has_to_be_gives_nothing(ask, change):
    with pytest.raises(Unanswered):
        ask(GOOD | change)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"null", b'{"access_token"', b"\xff", b"[" * 10_000])
def test_nor_does_one_that_is_no_object(ask, body):
    with pytest.raises(Unanswered):
        ask(body)


def test_an_answer_that_is_too_large_is_not_read(ask):
    with pytest.raises(Unanswered, match="larger"):
        ask(GOOD | {"padding": "x" * 200_000})


@pytest.mark.parametrize(
    "error",
    ["invalid_grant", "unauthorized_client", "invalid_scope", "invalid_target", "access_denied", "no_such_word"],
)
def test_an_error_that_stays_is_refused(ask, error):
    with pytest.raises(Refused, match=error):
        ask({"error": error, "error_description": "call 555-EVIL"}, 400)


def test_one_in_an_answer_that_calls_itself_good_counts_too(ask):
    with pytest.raises(Refused, match="invalid_grant"):
        ask(GOOD | {"error": "invalid_grant"})


def test_a_client_that_is_not_known_is_told_apart(ask):
    with pytest.raises(tokens.ClientForgotten):
        ask({"error": "invalid_client"}, 401)


@pytest.mark.parametrize("said", ["call 555-EVIL", "A" * 100, "x\ny", "<b>"])
def test_no_text_of_theirs_is_repeated(ask, said):
    with pytest.raises(Refused) as refused:
        ask({"error": said, "error_description": said}, 400)
    assert said not in str(refused.value)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (429, {"error": "invalid_grant"}),
        (500, {"error": "invalid_grant"}),
        (503, b"busy"),
        (400, {"error": "temporarily_unavailable"}),
        (400, {"error": "server_error"}),
        (403, b"<html>a firewall</html>"),
        (404, {}),
        (400, {"error": 1}),
    ],
)
def test_what_may_pass_is_not_taken_for_an_end(ask, status, body):
    with pytest.raises(Unanswered):
        ask(body, status)


@pytest.mark.parametrize(
    ("said", "pause"), [("30", 30), ("999999", tokens.PAUSE_MOST), ("soon", 0), ("-1", 0), ("9" * 30, 0)]
)
def test_how_long_it_wants_to_be_left_alone_is_heard(ask, said, pause):
    with pytest.raises(Unanswered) as later:
        ask(b"", 503, (("Retry-After", said),))
    assert later.value.retry_after == pause


def test_a_name_and_a_secret_with_odd_characters_are_sent_as_they_have_to_be(office, fake):
    """RFC 6749 section 2.3.1."""
    fake.add_app("a:b", "s /+ü")
    app = App(id="a:b", method="client_secret_basic", secret="s /+ü")
    assert tokens.request(office.equipment, f"{fake.origin}/token", app, FORM).access
