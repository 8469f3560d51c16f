"""The same forged tokens at the door itself: 401 with a challenge, and a record that says why."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.tokens import Judge, claims, new_key, signed

if TYPE_CHECKING:
    import httpx2

    from tests.gateway.oauth.house import House


@pytest.fixture(scope="module")
def said(house: House) -> dict[str, Any]:
    """What a token must say to be good in this house."""
    person, client = house.person(), house.client()
    token = house.tokens(person, client)["access_token"]
    assert house.call(token) == 200
    return {"iss": house.base, "sub": person.id, "aud": house.resource, "client_id": client.id}


def judge(house: House) -> Judge:
    return Judge(key=house.world.snapshots.current.keys.signer(time.time()))


def ask(house: House, token: bytes | str) -> httpx2.Response:
    value = token.decode("latin-1") if isinstance(token, bytes) else token
    with house.http() as http:
        return http.post("/mcp", json={}, headers={"authorization": f"Bearer {value}"})


def assert_refused(house: House, token: bytes) -> None:
    answer = ask(house, token)
    assert answer.status_code == 401
    challenge = answer.headers["www-authenticate"]
    assert 'error="invalid_token"' in challenge
    assert f'resource_metadata="{house.base}/.well-known/oauth-protected-resource/mcp"' in challenge


def test_t_03_to_t_11_the_forger_who_has_our_key_is_let_in(house: House, said: dict[str, Any]) -> None:
    """So that the refusals below are for what they change, and for nothing else."""
    assert house.call(signed(judge(house), claims(**said)).decode()) == 200


@pytest.mark.parametrize(
    ("change", "header"),
    [
        ({"aud": "/servers/notes/mcp"}, {}),
        ({"aud": None}, {}),
        ({"iss": "https://elsewhere.example"}, {}),
        ({"sub": "usr_nobody"}, {}),
        ({"client_id": "nobody"}, {}),
        ({"exp": 1}, {}),
        ({"exp": None}, {}),
        ({"exp": 1e20}, {}),
        ({"iat": 4102444800, "exp": 4102445100}, {}),
        ({"act": {"sub": "agent:x"}}, {}),
        ({}, {"typ": "JWT"}),
        ({}, {"typ": None}),
        ({}, {"alg": "none"}),
        ({}, {"alg": "HS256"}),
        ({}, {"kid": "../../dev/null"}),
        ({}, {"jku": "https://attacker.example/keys"}),
        ({}, {"crit": ["exp"]}),
    ],
)
def test_t_03_to_t_11_a_token_that_is_not_right_is_refused(
    house: House, said: dict[str, Any], change: dict[str, Any], header: dict[str, Any]
) -> None:
    assert_refused(house, signed(judge(house), claims(**(said | change)), **header))


def test_t_06_a_token_of_another_key_is_refused(house: House, said: dict[str, Any]) -> None:
    assert_refused(house, signed(Judge(key=new_key()), claims(**said), kid=judge(house).key.kid))


def test_t_04_a_refresh_token_opens_nothing(house: House) -> None:
    given = house.tokens(house.person(), house.client())

    assert_refused(house, given["refresh_token"].encode())


def test_t_12_a_token_that_is_too_long_is_refused_before_it_is_read(house: House) -> None:
    assert_refused(house, b"a" * 20_000)
    assert ask(house, b"a" * 100_000).status_code == 431


@pytest.mark.parametrize("trouble", [RuntimeError, TimeoutError, MemoryError, ValueError])
@pytest.mark.parametrize("part", ["_prove", "_judge", "_remember"])
def test_t_02_a_verifier_that_breaks_lets_nobody_in(
    house: House, said: dict[str, Any], monkeypatch: pytest.MonkeyPatch, part: str, trouble: type[Exception]
) -> None:
    def broken(*_: Any) -> Any:
        raise trouble

    monkeypatch.setattr(type(house.world.verifier), part, broken)

    assert house.call(signed(judge(house), claims(**(said | {"jti": f"{part}{trouble}"}))).decode()) in {401, 503}


def test_the_record_says_why(house: House, said: dict[str, Any]) -> None:
    assert_refused(house, signed(judge(house), claims(**(said | {"aud": "elsewhere", "jti": "why"}))))

    assert '"reason":"audience"' in house.everything_written()
