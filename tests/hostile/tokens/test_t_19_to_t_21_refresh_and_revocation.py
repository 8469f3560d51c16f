"""Refresh tokens in the wrong hands, grants that outlive what they were given for, and other people's tokens."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from sqlmodel import select

from authz.fingerprints import fingerprint
from authz.tables import Client, RefreshToken
from authz.tokens.families import GRACE
from registry.database import Concern
from registry.tables import ServerState

if TYPE_CHECKING:
    from tests.gateway.oauth.house import House


def age(house: House, token: str, seconds: float) -> None:
    """As if the token had been rotated that much earlier."""
    with house.office.database.change() as session:
        row = session.get_one(RefreshToken, fingerprint(token))
        assert row.rotated_at is not None
        row.rotated_at -= seconds


def test_t_19_a_refresh_token_is_good_once_and_its_successor_after_it(house: House) -> None:
    client = house.client()
    first = house.tokens(house.person(), client)

    second = house.refresh(client, first["refresh_token"]).json()
    third = house.refresh(client, second["refresh_token"]).json()

    assert len({first["refresh_token"], second["refresh_token"], third["refresh_token"]}) == 3
    assert house.call(third["access_token"]) == 200


def test_t_19_the_reuse_of_a_rotated_token_ends_all_that_came_of_it(house: House) -> None:
    client = house.client()
    first = house.tokens(house.person("reused"), client)
    second = house.refresh(client, first["refresh_token"]).json()
    age(house, first["refresh_token"], GRACE + 1)

    again = house.refresh(client, first["refresh_token"])

    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
    assert house.refresh(client, second["refresh_token"]).json()["error"] == "invalid_grant"
    house.until_call(second["access_token"], 401)
    house.until_call(first["access_token"], 401)
    assert [record["who"] for record in house.records("token.reuse")] == ["user:reused"]


def test_t_19_fifty_at_once_lead_to_one_successor(house: House) -> None:
    client = house.client()
    first = house.tokens(house.person(), client)["refresh_token"]

    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: house.refresh(client, first), range(50)))

    assert [answer.status_code for answer in answers] == [200] * 50
    assert len({answer.json()["refresh_token"] for answer in answers}) == 1
    with house.office.database.read() as session:
        family = session.get_one(RefreshToken, fingerprint(first)).family
        assert len(session.exec(select(RefreshToken).where(RefreshToken.family == family)).all()) == 2


def test_t_19_fifty_at_once_after_the_grace_all_fail_and_end_the_family(house: House) -> None:
    client = house.client()
    first = house.tokens(house.person(), client)["refresh_token"]
    second = house.refresh(client, first).json()
    age(house, first, GRACE + 1)

    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: house.refresh(client, first), range(50)))

    assert {answer.json()["error"] for answer in answers} == {"invalid_grant"}
    house.until_call(second["access_token"], 401)


def test_t_19_another_client_gets_nothing_for_the_token_and_ends_nothing(house: House) -> None:
    owner, thief = house.client(), house.client()
    given = house.tokens(house.person(), owner)

    stolen = house.refresh(thief, given["refresh_token"])

    assert stolen.json()["error"] == "invalid_grant"
    assert house.refresh(owner, given["refresh_token"]).status_code == 200


def test_t_19_a_refresh_token_ends_with_its_family_however_often_it_is_rotated(house: House) -> None:
    client = house.client()
    first = house.tokens(house.person(), client)["refresh_token"]
    second = house.refresh(client, first).json()["refresh_token"]
    with house.office.database.change() as session:
        one = session.get_one(RefreshToken, fingerprint(first))
        two = session.get_one(RefreshToken, fingerprint(second))
        assert one.expires_at == two.expires_at
        two.expires_at = 1.0

    assert house.refresh(client, second).json()["error"] == "invalid_grant"


def test_t_19_refresh_tokens_and_successors_are_not_readable_in_the_database(house: House) -> None:
    client = house.client()
    first = house.tokens(house.person(), client)["refresh_token"]
    second = house.refresh(client, first).json()["refresh_token"]

    stored = b"".join(file.read_bytes() for file in house.settings.data.glob("ostiary.db*"))

    assert first.encode() not in stored
    assert second.encode() not in stored


def test_t_20_a_disabled_person_refreshes_nothing(house: House) -> None:
    person, client = house.person(), house.client()
    given = house.tokens(person, client)

    house.disable(person)

    assert house.refresh(client, given["refresh_token"]).json()["error"] == "invalid_grant"
    house.until_call(given["access_token"], 401)


def test_t_20_a_suspended_server_gives_no_token_and_spends_none(house: House) -> None:
    mount, client = house.mount("paused"), house.client()
    given = house.tokens(house.person(), client, resource=mount)

    house.change_server("paused", ServerState.SUSPENDED)
    assert house.refresh(client, given["refresh_token"]).json()["error"] == "invalid_target"

    house.change_server("paused", ServerState.APPROVED)
    assert house.refresh(client, given["refresh_token"]).status_code == 200


def test_t_20_a_disabled_client_refreshes_nothing(house: House) -> None:
    client = house.client()
    given = house.tokens(house.person(), client)

    with house.office.database.change(Concern.PEOPLE) as session:
        session.get_one(Client, client.id).disabled_at = 1.0

    answer = house.refresh(client, given["refresh_token"])
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    house.until_call(given["access_token"], 401)


def test_t_20_a_disabled_agent_gets_no_token(house: House) -> None:
    agent, secret = house.agent()
    form = {"grant_type": "client_credentials", "resource": house.resource}
    token = house.token(form, (agent.id, secret)).json()["access_token"]
    assert house.call(token) == 200

    with house.office.database.change(Concern.PEOPLE) as session:
        session.get_one(Client, agent.id).disabled_at = 1.0

    assert house.token(form, (agent.id, secret)).status_code == 401
    house.until_call(token, 401)


def test_t_20_a_refresh_may_narrow_and_never_widen(house: House) -> None:
    client = house.client()
    given = house.tokens(house.person(), client, scope="notes.* clock.now")

    narrowed = house.refresh(client, given["refresh_token"], scope="notes.add").json()
    assert narrowed["scope"] == "notes.add"
    for wider in ("mcp", "clock.*", "notes.* other.tool", "nonsense"):
        assert house.refresh(client, narrowed["refresh_token"], scope=wider).json()["error"] == "invalid_scope"
    assert house.refresh(client, narrowed["refresh_token"]).json()["scope"] == "clock.now notes.*"


def test_t_21_a_client_cannot_end_what_is_anothers(house: House) -> None:
    owner, other = house.client(), house.client()
    given = house.tokens(house.person(), owner)

    for token in (given["access_token"], given["refresh_token"], "nonsense", "a.b.c"):
        answer = house.post("/oauth/revoke", {"token": token, "client_id": other.id})
        assert (answer.status_code, answer.json()) == (200, {})

    assert house.call(given["access_token"]) == 200
    assert house.refresh(owner, given["refresh_token"]).status_code == 200


@pytest.mark.parametrize("hint", ["", "access_token", "refresh_token", "something_else"])
def test_t_21_a_client_ends_its_own_and_learns_no_more_than_that(house: House, hint: str) -> None:
    client = house.client()
    given = house.tokens(house.person(), client)
    hinted = {"token_type_hint": hint} if hint else {}

    ended = house.post("/oauth/revoke", {"token": given["refresh_token"], "client_id": client.id} | hinted)
    twice = house.post("/oauth/revoke", {"token": given["refresh_token"], "client_id": client.id} | hinted)

    assert (ended.status_code, ended.json()) == (twice.status_code, twice.json()) == (200, {})
    assert house.refresh(client, given["refresh_token"]).json()["error"] == "invalid_grant"
    house.until_call(given["access_token"], 401)


def test_t_21_an_access_token_can_be_ended_alone(house: House) -> None:
    client = house.client()
    given = house.tokens(house.person(), client)

    house.post("/oauth/revoke", {"token": given["access_token"], "client_id": client.id})

    house.until_call(given["access_token"], 401)
    assert house.refresh(client, given["refresh_token"]).status_code == 200


def test_t_21_nobody_is_told_anything_about_a_token(house: House) -> None:
    with house.http() as http:
        metadata = http.get("/.well-known/oauth-authorization-server").json()
    assert "introspection_endpoint" not in metadata
    for path in ("/oauth/introspect", "/introspect"):
        assert house.post(path, {"token": "x"}).status_code == 404
