"""Devices without a browser (RFC 8628), from the question to the tokens."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from sqlmodel import select

from authz.tables import DeviceGrant
from gateway.oauth.grants.device import DEVICE_CODE

if TYPE_CHECKING:
    import httpx2

    from authz.tables import Client, Person
    from tests.gateway.oauth.house import Browser, House


def device(house: House) -> Client:
    client = house.client()
    with house.office.database.change() as session:
        session.add(client)
        client.grant_types, client.redirect_uris = [DEVICE_CODE, "refresh_token"], []
    return client


def begin(house: House, client: Client, **more: str) -> dict[str, Any]:
    answer = house.post("/oauth/device", {"client_id": client.id, "resource": house.resource, **more})
    assert answer.status_code == 200, answer.text
    begun: dict[str, Any] = answer.json()
    return begun


def poll(house: House, client: Client, code: str) -> httpx2.Response:
    return house.token({"grant_type": DEVICE_CODE, "device_code": code, "client_id": client.id})


def typed(browser: Browser, user_code: str, **more: str) -> httpx2.Response:
    """Types the code, or answers, on a page as it is shown now."""
    page = browser.http.get("/device")
    csrf = re.search(r'name="csrf" value="([0-9a-f]+)"', page.text)
    assert csrf is not None, page.text
    return browser.http.post("/device", data={"csrf": csrf[1], "user_code": user_code, **more})


def allowed(house: House, person: Person, begun: dict[str, Any], answer: str = "allow") -> None:
    with house.browser(person) as browser:
        question = typed(browser, begun["user_code"])
        assert "Connect An app?" in question.text, question.text
        assert typed(browser, begun["user_code"], answer=answer).status_code == 200


def rest(house: House, seconds: float = 60) -> None:
    """As if so many seconds had gone by since every device asked last."""
    with house.office.database.change() as session:
        for row in session.exec(select(DeviceGrant)):
            row.polled_at -= seconds


def test_a_device_gets_tokens_once_its_person_said_yes(house: House) -> None:
    client, person = device(house), house.person()
    begun = begin(house, client)
    assert poll(house, client, begun["device_code"]).json()["error"] == "authorization_pending"

    allowed(house, person, begun)
    given = poll(house, client, begun["device_code"]).json()

    assert house.call(given["access_token"]) == 200
    assert house.refresh(client, given["refresh_token"]).status_code == 200
    assert [record["who"] for record in house.records("device.allowed")][-1] == f"user:{person.handle}"


def test_the_answer_is_what_rfc_8628_says(house: House) -> None:
    begun = begin(house, device(house))

    assert re.fullmatch(r"[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}", begun["user_code"])
    assert begun["verification_uri"] == f"{house.base}/device"
    assert begun["verification_uri_complete"].endswith(begun["user_code"])
    assert (begun["expires_in"], begun["interval"]) == (600, 5)


def test_a_code_may_be_typed_as_people_type(house: House) -> None:
    client, person = device(house), house.person()
    begun = begin(house, client)

    with house.browser(person) as browser:
        assert "Connect An app?" in typed(browser, begun["user_code"].lower().replace("-", " ")).text


def test_somebody_who_says_no_is_heard(house: House) -> None:
    client = device(house)
    begun = begin(house, client)

    allowed(house, house.person(), begun, "deny")

    assert poll(house, client, begun["device_code"]).json()["error"] == "access_denied"


def test_a_device_that_asks_too_often_is_slowed_down(house: House) -> None:
    client = device(house)
    begun = begin(house, client)

    got = [poll(house, client, begun["device_code"]).json()["error"] for _ in range(3)]
    rest(house)

    assert got == ["authorization_pending", "slow_down", "slow_down"]
    assert poll(house, client, begun["device_code"]).json()["error"] == "authorization_pending"


def test_a_device_code_gives_tokens_once_also_when_twenty_ask_at_once(house: House) -> None:
    client = device(house)
    begun = begin(house, client)
    allowed(house, house.person(), begun)

    with ThreadPoolExecutor(20) as threads:
        got = [
            answer.status_code for answer in threads.map(lambda _: poll(house, client, begun["device_code"]), range(20))
        ]

    assert sorted(got) == [200] + [400] * 19


def test_an_expired_question_is_over_for_the_device_and_for_the_person(house: House) -> None:
    client, person = device(house), house.person()
    begun = begin(house, client)
    with house.office.database.change() as session:
        for row in session.exec(select(DeviceGrant)):
            row.expires_at = 1

    assert poll(house, client, begun["device_code"]).json()["error"] == "expired_token"
    with house.browser(person) as browser:
        assert typed(browser, begun["user_code"]).status_code == 404


def test_another_client_cannot_poll_with_the_code(house: House) -> None:
    begun = begin(house, device(house))

    assert poll(house, device(house), begun["device_code"]).json()["error"] == "invalid_grant"


def test_a_client_without_the_grant_cannot_begin(house: House) -> None:
    answer = house.post("/oauth/device", {"client_id": house.client().id})

    assert (answer.status_code, answer.json()["error"]) == (400, "unauthorized_client")


def test_a_person_who_was_disabled_after_the_yes_gives_nothing(house: House) -> None:
    client, person = device(house), house.person()
    begun = begin(house, client)
    allowed(house, person, begun)

    house.disable(person)

    assert poll(house, client, begun["device_code"]).json()["error"] == "invalid_grant"


def test_whoever_tries_codes_is_stopped_soon(house: House) -> None:
    with house.browser(house.person()) as browser:
        got = [typed(browser, "BBBB-BBBB").status_code for _ in range(12)]

    assert got[:10] == [404] * 10
    assert got[10:] == [429] * 2


def test_the_page_wants_somebody_signed_in_and_a_form_of_ours(house: House) -> None:
    begun = begin(house, device(house))
    with house.browser() as nobody:
        assert nobody.http.get("/device").status_code == 303
    with house.browser(house.person()) as browser:
        forged = browser.http.post("/device", data={"user_code": begun["user_code"], "answer": "allow"})
        assert forged.status_code == 403


@pytest.mark.parametrize("form", [{"resource": "https://other.example/mcp"}, {"scope": "everything"}])
def test_a_question_for_nothing_of_ours_is_refused_at_once(house: House, form: dict[str, str]) -> None:
    answer = house.post("/oauth/device", {"client_id": device(house).id, **form})

    assert answer.json()["error"] in {"invalid_target", "invalid_scope"}


def test_neither_code_is_stored_or_written_down(house: House) -> None:
    begun = begin(house, device(house))
    with house.office.database.read() as session:
        rows = [row.model_dump_json() for row in session.exec(select(DeviceGrant))]

    written = house.everything_written() + "".join(rows)
    assert begun["device_code"] not in written
    assert begun["user_code"].replace("-", "") not in written
