"""T-89: somebody or something moves the clock of our machine, and what had expired would be alive again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway import clock
from tests.fakes.furnished import minted
from tests.gateway.oauth.house import House, pkce
from tests.gateway.pages.desk import open_desk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx2


@pytest.fixture
def moved(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One hour back."""
    monkeypatch.setattr(clock, "_begun", clock._difference() + 3600.0)
    yield
    monkeypatch.undo()


def called(house: House, token: str) -> httpx2.Response:
    with house.http() as http:
        return http.post("/mcp", json={}, headers={"authorization": f"Bearer {token}"})


def ready(house: House) -> httpx2.Response:
    with house.http() as http:
        return http.get("/readyz")


def test_t_89_no_call_is_taken_until_the_clock_is_right_again(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    token = minted(house, house.person(), house.client())
    house.until_call(token, 200)
    for seconds in (3600.0, -3600.0):
        with monkeypatch.context() as patch:
            patch.setattr(clock, "_begun", clock._difference() + seconds)
            assert house.call(token) == 503
            assert "clock" in called(house, token).text
        assert house.call(token) == 200


@pytest.mark.usefixtures("moved")
def test_t_89_readiness_is_red_and_says_what_to_do(house: House) -> None:
    answer = ready(house)
    assert answer.status_code == 503
    (told,) = [check for check in answer.json()["checks"] if check["name"] == "clock"]
    assert (told["state"], "-3600 s" in told["why"], "NTP" in told["remedy"]) == ("red", True, True)


def test_t_89_no_token_is_made_and_the_code_is_not_spent(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    person, client = house.person(), house.client()
    proof = pkce()
    code = house.code(person, client, proof)
    with monkeypatch.context() as patch:
        patch.setattr(clock, "_begun", clock._difference() + 3600.0)
        refused = house.redeem(client, code, proof)
    assert (refused.status_code, refused.json()["error"]) == (503, "temporarily_unavailable")
    assert house.redeem(client, code, proof).status_code == 200


def test_t_89_what_is_revoked_is_revoked_all_the_same(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    person, client = house.person(), house.client()
    given = house.tokens(person, client)
    with monkeypatch.context() as patch:
        patch.setattr(clock, "_begun", clock._difference() + 3600.0)
        with house.http() as http:
            form = {"token": given["refresh_token"], "client_id": client.id}
            assert http.post("/oauth/revoke", data=form).status_code == 200
    assert house.refresh(client, given["refresh_token"]).status_code == 400


def test_t_89_nobody_signs_in_but_who_is_in_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = open_desk(tmp_path)
    desk.person("ann")
    inside, outside = desk.browser(), desk.browser()
    inside.sign_in("ann")
    monkeypatch.setattr(clock, "_begun", clock._difference() + 3600.0)
    answer = outside.sign_in("ann")
    assert (answer.status_code, "set-cookie" in answer.headers) == (503, False)
    assert "clock" in answer.text
    assert inside.get("/account/password").status_code == 200
    desk.office.close()
