"""What cannot be recorded does not happen, and what breaks gives no token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy.exc import OperationalError

from gateway.journal import JournalDown
from tests.gateway.oauth.house import pkce

if TYPE_CHECKING:
    from tests.gateway.oauth.house import House


def broken(*_: Any, **__: Any) -> Any:
    raise JournalDown("no")


def test_a_token_that_cannot_be_recorded_is_not_given_and_its_code_stays_good(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, proof = house.client(), pkce()
    code = house.code(house.person(), client, proof)

    with monkeypatch.context() as while_down:
        while_down.setattr(type(house.office.journal), "note", broken)
        answer = house.redeem(client, code, proof)

    assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")
    assert "access_token" not in answer.text
    assert house.redeem(client, code, proof).status_code == 200


def test_a_rotation_that_cannot_be_recorded_has_not_happened(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    client = house.client()
    given = house.tokens(house.person(), client)["refresh_token"]

    with monkeypatch.context() as while_down:
        while_down.setattr(type(house.office.journal), "note", broken)
        assert house.refresh(client, given).status_code == 503

    assert house.refresh(client, given).status_code == 200


def test_a_revocation_that_cannot_be_recorded_says_so(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    client = house.client()
    given = house.tokens(house.person(), client)["refresh_token"]
    monkeypatch.setattr(type(house.office.journal), "note", broken)

    answer = house.post("/oauth/revoke", {"token": given, "client_id": client.id})

    assert answer.status_code == 503


def test_a_consent_that_cannot_be_recorded_sends_nobody_anywhere(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    with house.browser(house.person()) as browser:
        page = browser.authorize(house.client())
        monkeypatch.setattr(type(house.office.journal), "note", broken)
        answer = browser.answer(page)

    assert answer.status_code == 503
    assert "location" not in answer.headers


def test_without_the_database_there_are_no_tokens(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    agent, secret = house.agent()

    def gone(*_: Any) -> Any:
        raise OperationalError("select", {}, Exception("gone"))

    monkeypatch.setattr(type(house.office.database), "change", gone)
    answer = house.token({"grant_type": "client_credentials"}, (agent.id, secret))

    assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")


@pytest.mark.parametrize("trouble", [RuntimeError, TimeoutError, MemoryError, ValueError])
def test_t_02_what_breaks_while_minting_gives_no_token(
    house: House, monkeypatch: pytest.MonkeyPatch, trouble: type[Exception]
) -> None:
    agent, secret = house.agent()

    def breaks(*_: Any, **__: Any) -> Any:
        raise trouble

    monkeypatch.setattr("gateway.oauth.issuing.mint", breaks)
    answer = house.token({"grant_type": "client_credentials"}, (agent.id, secret))

    assert answer.status_code >= 500
    assert "access_token" not in answer.text
