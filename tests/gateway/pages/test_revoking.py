"""What a person ends on the portal's home is over for the client, before the whole gateway."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.gateway.oauth.house import Browser, House


def csrf(browser: Browser) -> str:
    found = re.search(r'name="csrf" value="(\w+)"', browser.http.get("/").text)
    assert found is not None
    return found[1]


def test_a_revoked_clients_tokens_end_and_another_clients_stay(house: House) -> None:
    person, ended, kept = house.person(), house.client(), house.client()
    gone, stays = house.tokens(person, ended), house.tokens(person, kept)
    house.until_call(gone["access_token"], 200)
    with house.browser(person) as browser:
        form = {"csrf": csrf(browser), "client": ended.id}
        assert browser.http.post("/account/clients/revoke", data=form).status_code == 303
    house.until_call(gone["access_token"], 401)
    assert house.refresh(ended, gone["refresh_token"]).json()["error"] == "invalid_grant"
    house.until_call(stays["access_token"], 200)


def test_signing_out_of_the_browser_leaves_clients_connected(house: House) -> None:
    person, client = house.person(), house.client()
    token = house.tokens(person, client)["access_token"]
    with house.browser(person) as browser:
        form = {"csrf": csrf(browser)}
        assert browser.http.post("/signout", data=form).status_code == 303
        assert "Hello" not in browser.http.get("/").text
    house.until_call(token, 200)
