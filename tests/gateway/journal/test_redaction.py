from __future__ import annotations

import base64
import hmac
import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.journal import redaction
from gateway.journal.redaction import LOOKED_AT, REDACTED, Redactor, redacted, whole
from gateway.settings import ArgumentRecord

CANARY = "canary-7f3a"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=30,
)


@pytest.mark.parametrize(
    "name",
    ["password", "Password", "db_passwd", "client_secret", "access_token", "apiKey", "api-key", "X-API-Key", "cookie",
     "authorization", "credentials", "private_key", "privateKey", "sessionId", "pin", "otp", "pass", "auth"],
)  # fmt: skip
def test_what_is_named_like_a_secret_is_not_kept(name: str) -> None:
    for value in (CANARY, [CANARY], {"inner": CANARY}):
        found = redacted(json.dumps({"deep": [{name: value}]}).encode())
        assert found == {"deep": [{name: REDACTED}]}


def test_a_name_written_with_escapes_is_the_same_name() -> None:
    assert redacted(b'{"p\\u0061ssword":"x"}') == {"password": REDACTED}


@pytest.mark.parametrize("name", ["text", "author", "passenger", "keyboard", "title", "spinning", "compass_points"])
def test_what_is_not_named_like_a_secret_is_kept(name: str) -> None:
    assert redacted(json.dumps({name: "plain"}).encode()) == {name: "plain"}


@pytest.mark.parametrize(
    "value",
    [
        "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln",
        "use Bearer abcdefgh12345678",
        "Basic dXNlcjpwYXNz",
        "postgresql://gw:s3cret@db/x",
        "https://x.example/?token=abc",
        "-----BEGIN PRIVATE KEY-----",
        "ghp_abcdefghijklmnop",
        "AKIAIOSFODNN7EXAMPLE",
        "ost_pat_abcdef",
        "sk-proj-abcdefghijk",
        "xoxb-123",
    ],
)
def test_what_looks_like_a_secret_is_not_kept_whatever_its_name(value: str) -> None:
    assert redacted(json.dumps({"text": value}).encode()) == {"text": REDACTED}
    assert value not in str(redacted(json.dumps({value: 1}).encode()))


@given(JSON)
@settings(max_examples=200)
def test_the_record_of_any_arguments_is_json_on_one_line(value: object) -> None:
    found = redacted(json.dumps(value).encode())
    assert b"\n" not in msgspec.json.encode(found)


def test_long_values_are_cut_and_say_so() -> None:
    found = redacted(json.dumps({"text": "x" * 1000}).encode())
    assert found["text"].startswith("x" * 128)
    assert found["text"].endswith("(872 more)")


@pytest.mark.parametrize(
    "arguments", [b"[" + b"1," * 3000 + b"1]", b"[" + b"1," * 300 + b"1]", b"{", b'"\xff"', b"[" * 4000]
)
def test_what_is_too_much_or_no_json_leaves_the_digest_alone(arguments: bytes) -> None:
    facts = Redactor(b"k", ArgumentRecord.REDACTED).facts(arguments)
    assert set(facts) == {"arguments_hmac", "arguments_size"}


def test_nothing_beyond_the_limit_is_looked_at() -> None:
    assert redacted(b" " * LOOKED_AT + b"{}") is None
    assert whole(b" " * (32 * 1024) + b"{}") is None


@given(st.binary(min_size=1, max_size=80), st.binary(min_size=1, max_size=300))
@settings(max_examples=100)
def test_the_digest_is_the_hmac_of_the_standard_library(key: bytes, arguments: bytes) -> None:
    assert Redactor(key, ArgumentRecord.DIGEST).digest(arguments) == hmac.digest(key, arguments, "sha256").hex()


def test_a_canary_is_found_in_no_form() -> None:
    arguments = {"password": CANARY, "headers": {"Authorization": f"Bearer {CANARY}"}, "url": f"https://u:{CANARY}@h/"}
    kept = json.dumps(Redactor(b"k", ArgumentRecord.REDACTED).facts(json.dumps(arguments).encode()))
    forms = (CANARY, base64.b64encode(CANARY.encode()).decode(), CANARY.encode().hex(), CANARY[::-1])
    assert not [form for form in forms if form in kept]


@given(
    st.dictionaries(
        st.sampled_from(["text", "password", "city", "apiKey", "k" * 200]) | st.text(max_size=10),
        st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(["x" * 129, "sk-abcdefgh1", "a-b_c"]) | JSON,
        max_size=6,
    )
)
def test_plain_arguments_need_no_walk_and_any_others_get_one(arguments: dict[str, object]) -> None:
    walked = redaction._Walk(suspicious=True).clean(arguments)
    assert redacted(msgspec.json.encode(arguments)) == walked
