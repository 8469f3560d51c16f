"""Which forms ask for a secret."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.portal.answers.secrets_asked import secret_in
from registry.screening.lookalikes import read_as


def form(message: str = "Please fill this in", **properties: Any) -> dict[str, Any]:
    fields = {name: {"type": "string"} | field for name, field in properties.items()}
    return {"message": message, "requestedSchema": {"type": "object", "properties": fields}}


@pytest.mark.parametrize(
    "name",
    [
        "password", "Password", "user_password", "newPassword", "passwd", "PASSPHRASE", "passcode", "pwd", "token",
        "access_token", "accessToken", "githubToken", "refresh-token", "api_key", "apiKey", "APIKey", "apikey",
        "OPENAI_API_KEY", "secret", "client_secret", "clientSecret", "credentials", "private_key", "ssh key", "otp",
        "one_time_code", "verification code", "mfaCode", "2fa", "pin", "pin_code", "cvv", "CVC2", "card_number",
        "creditCard", "iban", "seed phrase", "passwort", "mot_de_passe", "contraseña", "пароль", "密码", "jwt",
        "session_token", "\uff50\uff41\uff53\uff53word", "pass\u200bword", "bearer",
    ],
)  # fmt: skip
def test_a_field_is_a_secret_by_its_name(name: str) -> None:
    assert secret_in(form(**{name: {}}))
    assert secret_in(form(value={"title": name}))


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("value", {"format": "password"}),
        ("value", {"writeOnly": True}),
        ("value", {"description": "Enter your GitHub token"}),
        ("value", {"description": "We need your API key to go on"}),
        ("pin", {"type": "integer"}),
        ("cvv", {"type": "number"}),
        ("password", {"type": ["string", "null"]}),
        ("login", {"type": "object", "properties": {"password": {"type": "string"}}}),
        ("password", {"type": {"not": "a type"}}),
        ("passwords", {"type": "array", "items": {"type": "string"}}),
        ("password", {"anyOf": [{}]}),
        ("password", {"oneOf": [{"type": "string"}]}),
        ("password", {"enum": []}),
        ("password", {"const": None}),
        ("password", {"type": "text"}),
        ("login", {"allOf": [{"properties": {"password": {"type": "string"}}}]}),
        ("logins", {"type": "array", "items": {"properties": {"password": {"type": "string"}}}}),
    ],
)
def test_a_field_is_a_secret_by_what_is_said_of_it(name: str, field: dict[str, Any]) -> None:
    assert secret_in(form(**{name: field}))


@pytest.mark.parametrize(
    "name",
    [
        "p\u0430ssword", "\u0440\u0430\u0455\u0455w\u043erd", "P\u0410SSW\u041eRD", "p\u03b1ssw\u03bfrd",
        "pa\u034fss\u2062word", "pa\u3164ssword", "pass\ufe0fword", "p\u0301a\u0301ssword", "p\u0336a\u0336ssword",
        "p@ssw0rd", "pa$$word", "pas\u017f\u200dword", "\U0001d429\U0001d41a\U0001d42c\U0001d42cword",
        "\U0001f17f\U0001f170\U0001f182\U0001f182word", "p a s s w o r d", "p.a.s.s.w.o.r.d", "\u1d18\u1d00ssword",
        "t\u043eken", "\u0430pi_k\u0435y", "\u0455ecret", "\uff30\uff29\uff2e", "pa\u202essword",
    ],
)  # fmt: skip
def test_a_name_that_only_looks_like_one_is_one(name: str) -> None:
    assert secret_in(form(**{name: {}}))
    assert secret_in(form(value={"title": name}))
    assert secret_in(form(f"Please enter your {name}", answer={})) or "token" in read_as(name) or "pin" in read_as(name)


@pytest.mark.parametrize(
    "message",
    ["Please enter your password", "Paste the access token here:", "What is your API key?", "Send me the OTP"],
)
def test_a_message_that_asks_for_one_counts_where_something_can_be_typed(message: str) -> None:
    assert secret_in(form(message, answer={}))
    assert not secret_in(form(message, ok={"type": "boolean"}))


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("name", {}),
        ("username", {}),
        ("email", {"format": "email"}),
        ("max_tokens", {"type": "integer"}),
        ("maxTokens", {"type": "number"}),
        ("total_tokens", {"type": "integer"}),
        ("rotate_secret", {"type": "boolean"}),
        ("token_kind", {"enum": ["access", "refresh"]}),
        ("credential", {"oneOf": [{"const": "a", "title": "Mine"}]}),
        ("keys", {"type": "array", "items": {"enum": ["a", "b"]}}),
        ("compass", {}),
        ("passenger", {}),
        ("keyboard", {}),
        ("monkey", {}),
        ("spinning", {}),
        ("secretary", {}),
        ("opinion", {}),
        ("card", {}),
        ("passport_country", {}),
        ("tokenizer", {}),
        ("\u0433\u043e\u0440\u043e\u0434", {}),
        ("\u0438\u043c\u044f", {"description": "\u0412\u0430\u0448\u0435 \u0438\u043c\u044f"}),
        ("a b c d", {}),
        ("price_in_$", {"type": "number"}),
        ("address1", {}),
        ("city", {"description": "Where you are. Your password is not needed for this."}),
    ],
)
def test_what_only_sounds_alike_is_none(name: str, field: dict[str, Any]) -> None:
    assert not secret_in(form(**{name: field}))


@pytest.mark.parametrize(
    "asked", [{}, {"requestedSchema": None}, {"requestedSchema": {"properties": []}}, {"message": 7}]
)
def test_what_is_no_form_asks_for_nothing(asked: dict[str, Any]) -> None:
    assert secret_in(asked) == ""
