"""Personal tokens on their page and at the command line, used at a real door."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import pytest

from authz.tables import PersonalToken
from gateway.background.uses import note_now
from tests.gateway.cli.test_people import Console

if TYPE_CHECKING:
    from pathlib import Path

    import httpx2

    from tests.gateway.oauth.house import Browser, House


def post(browser: Browser, path: str, **form: str) -> httpx2.Response:
    csrf = re.search(r'name="csrf" value="([0-9a-f]+)"', browser.http.get("/account/tokens").text)
    assert csrf is not None
    return browser.http.post(path, data={"csrf": csrf[1], **form})


def make(browser: Browser, **form: str) -> str:
    asked = {"name": "laptop", "resource": browser.house.resource, "scope": "mcp", "days": "30"}
    answer = post(browser, "/account/tokens", **(asked | form))
    found = re.search(r"ost_pat_[\w-]{43}", answer.text)
    assert found is not None, answer.text
    return found[0]


def test_a_token_made_on_the_page_works_at_once_and_is_shown_once(house: House) -> None:
    with house.browser(house.person()) as browser:
        token = make(browser)

        house.until_call(token, 200)
        assert token not in browser.http.get("/account/tokens").text
        assert token not in house.everything_written()


def test_a_token_that_is_ended_on_the_page_works_no_longer(house: House) -> None:
    with house.browser(house.person()) as browser:
        token = make(browser)
        house.until_call(token, 200)
        [id_] = set(re.findall(r"pat_[0-9a-f]{16}", browser.http.get("/account/tokens").text))

        assert post(browser, "/account/tokens/end", token=id_).status_code == 303

        house.until_call(token, 401)
        assert house.everything_written().count(f'"token_id":"{id_}"') == 2, "made and ended, by its name"
        assert id_ not in browser.http.get("/account/tokens").text


def test_nobody_ends_the_token_of_somebody_else(house: House) -> None:
    with house.browser(house.person()) as mine, house.browser(house.person()) as other:
        token = make(mine)
        [id_] = set(re.findall(r"pat_[0-9a-f]{16}", mine.http.get("/account/tokens").text))

        assert post(other, "/account/tokens/end", token=id_).status_code == 404

        house.until_call(token, 200)


def test_whoever_is_disabled_has_a_token_no_longer(house: House) -> None:
    person = house.person()
    with house.browser(person) as browser:
        token = make(browser)
    house.until_call(token, 200)

    house.disable(person)

    house.until_call(token, 401)


def test_the_page_shows_when_a_token_was_last_used(house: House) -> None:
    with house.browser(house.person()) as browser:
        token = make(browser)
        house.until_call(token, 200)

        note_now(house.world)

        assert "never" not in browser.http.get("/account/tokens").text
        assert house.world.verifier.uses == {}


@pytest.mark.parametrize(
    "form",
    [{"days": "91"}, {"days": "0"}, {"days": "-1"}, {"days": "many"}, {"name": "  "}, {"scope": "everything"},
     {"resource": "https://other.example/mcp"}],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_made_is_said_and_nothing_is_made(house: House, form: dict[str, str]) -> None:
    asked = {"name": "laptop", "resource": house.resource, "scope": "mcp", "days": "30"}
    with house.browser(house.person()) as browser:
        answer = post(browser, "/account/tokens", **(asked | form))

        assert answer.status_code == 400
        assert "ost_pat_" not in answer.text
        assert "You have none." in browser.http.get("/account/tokens").text


def test_a_personal_token_is_not_taken_where_tokens_are_exchanged(house: House) -> None:
    agent, secret = house.agent()
    with house.browser(house.person()) as browser:
        token = make(browser)

    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange", "subject_token": token,
        "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
    }  # fmt: skip
    assert house.token(form, (agent.id, secret)).status_code == 400


def test_an_operator_makes_lists_and_ends_them(tmp_path: Path) -> None:
    console = Console(tmp_path / "data")
    console.do("user", "add", "alice", "--generate")

    made = console.json("token", "create", "--user", "alice", "--name", "old editor", "--days", "90")

    assert made["token"].startswith("ost_pat_")
    assert abs(made["expires_at"] - time.time() - 90 * 86400) < 60
    assert [row["name"] for row in console.json("token", "list", "--user", "alice")] == ["old editor"]
    console.do("token", "end", made["id"])
    assert console.json("token", "list") == []
    office = console.office()
    with office.database.read() as session:
        assert session.get(PersonalToken, made["token"]) is None, "only its hash is stored"
    office.close()


def test_nobody_gets_one_for_longer_than_ninety_days(tmp_path: Path) -> None:
    console = Console(tmp_path / "data")
    console.do("user", "add", "alice", "--generate")

    assert console.run("token", "create", "--user", "alice", "--name", "x", "--days", "91").exit_code == 2
