"""What refusing costs: no writer of the database is held up, and who is refused all the time is not listened to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.oauth import patience
from gateway.oauth.patience import MINUTE, Patience
from tests.gateway.oauth.house import House, pkce

if TYPE_CHECKING:
    from pathlib import Path

    import httpx2

GARBAGE = {
    "no grant": {},
    "no such grant": {"grant_type": "password"},
    "nobody": {"grant_type": "authorization_code", "client_id": "nobody", "code": "x"},
    "a made-up code": {"grant_type": "authorization_code", "code": "ost_ac_x", "redirect_uri": "https://app.example/c"},
    "a made-up token": {"grant_type": "refresh_token", "refresh_token": "ost_rt_x"},
    "a wrong secret": {"grant_type": "client_credentials", "client_secret": "x"},
}


@pytest.mark.parametrize("form", [pytest.param(form, id=name) for name, form in GARBAGE.items()])
def test_what_is_made_up_is_refused_while_somebody_else_writes(house: House, form: dict[str, str]) -> None:
    """SQLite has one writer: were it needed, this would wait for 15 s and be a 503."""
    client, _ = house.confidential() if "client_secret" in form else (house.client(), "")
    with house.office.database.change():
        answer = house.token({"client_id": client.id, **form})
    assert answer.status_code in {400, 401}
    assert answer.json()["error"] in {"unsupported_grant_type", "invalid_client", "invalid_grant"}
    assert house.records("refused")[-1]["reason"] == f"oauth.{answer.json()['error']}"


def test_a_made_up_token_is_revoked_while_somebody_else_writes(house: House) -> None:
    client = house.client()
    with house.office.database.change():
        assert house.post("/oauth/revoke", {"client_id": client.id, "token": "ost_rt_x"}).status_code == 200
        assert house.post("/oauth/revoke", {"client_id": "nobody", "token": "ost_rt_x"}).status_code == 401


def test_the_consent_page_is_shown_while_somebody_else_writes(house: House) -> None:
    person, client = house.person(), house.client()
    with house.browser(person) as browser:
        with house.office.database.change():
            page = browser.authorize(client, pkce())
        assert page.status_code == 200
        assert browser.answer(page).status_code == 303


def test_what_was_allowed_before_is_answered_at_once(house: House) -> None:
    person, client = house.person(), house.client()
    with house.browser(person) as browser:
        browser.consent(client, pkce())
        again = browser.authorize(client, pkce())
    assert again.status_code == 303
    assert "code=" in again.headers["location"]


def test_after_many_refusals_an_address_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "REFUSALS", 5)
    with House(tmp_path) as house:
        agent, secret = house.agent()

        def right() -> httpx2.Response:
            form = {"grant_type": "client_credentials", "resource": house.resource}
            return house.token(form, (agent.id, secret))

        for _ in range(5):
            assert right().status_code == 200  # what is right is not counted
            assert house.token({"grant_type": "refresh_token", "refresh_token": "x"}).status_code == 401
        answer = right()
        assert (answer.status_code, answer.json()["error"]) == (429, "slow_down")
        assert 0 < int(answer.headers["retry-after"]) <= MINUTE + 1
        assert house.records("refused")[-1]["reason"] == "oauth.slow_down"


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_next_minute_is_a_new_one() -> None:
    clock = Clock()
    counting = Patience(clock)
    for _ in range(patience.REFUSALS):
        assert counting.left("192.0.2.1") == 0
        counting.refused("192.0.2.1")
    clock.now = 20
    assert counting.left("192.0.2.1") == 40
    assert counting.left("192.0.2.2") == 0
    clock.now = MINUTE
    assert counting.left("192.0.2.1") == 0


def test_an_ipv6_subscriber_is_one_however_many_addresses_they_use() -> None:
    counting = Patience(Clock())
    for number in range(patience.REFUSALS):
        counting.refused(f"2001:db8::{number:x}")
    assert counting.left("2001:db8::ffff") > 0
    assert counting.left("2001:db8:0:1::1") == 0


def test_many_addresses_do_not_fill_the_memory() -> None:
    counting = Patience(Clock())
    for number in range(patience.SOURCES * 2):
        counting.refused(f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}")
    assert len(counting._refused) <= patience.SOURCES
