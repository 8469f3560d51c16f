"""SCIM as a protocol, where the independent checker does not look: filters, versions, who may ask, what is too much."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.gateway.scim.conftest import PATCH, USER

if TYPE_CHECKING:
    from tests.gateway.oauth.house import House
    from tests.gateway.scim.conftest import Client


@pytest.fixture(scope="module")
def people(corp: Client) -> None:
    for name, title in (("anna", "chief"), ("berta", "cook"), ("Cora", "chief")):
        corp.user(name, title=title, emails=[{"value": f"{name}@corp.example", "type": "work"}])


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ('userName eq "anna"', {"anna"}),
        ('userName eq "ANNA"', {"anna"}),
        ('username Eq "cora"', {"Cora"}),
        ('userName eq "nobody"', set()),
        ('externalId eq "x-berta"', {"berta"}),
        ('externalId eq "X-BERTA"', set()),
        ('title eq "chief"', {"anna", "Cora"}),
        ('title eq "chief" and userName sw "a"', {"anna"}),
        ('title eq "cook" or userName ew "ora"', {"berta", "Cora"}),
        ('not (title eq "chief")', {"berta"}),
        ('emails[type eq "work" and value co "berta"]', {"berta"}),
        ("title pr", {"anna", "berta", "Cora"}),
        ("nickName pr", set()),
        ("active eq true", {"anna", "berta", "Cora"}),
    ],
)
def test_a_filter_finds_what_it_says(corp: Client, people: None, wanted: str, found: set[str]) -> None:
    answer = corp.ask("GET", "/Users?" + "filter=" + wanted.replace(" ", "%20").replace('"', "%22"))

    assert answer.status_code == 200, answer.text
    assert {user["userName"] for user in answer.json()["Resources"]} == found
    assert answer.json()["totalResults"] == len(found)


@pytest.mark.parametrize(
    "wanted",
    ["userName", "userName eq", 'userName like "x"', '(userName eq "x"', 'userName eq "x" and', "'; drop table"],
)
def test_a_filter_that_is_none_is_said_to_be_none(corp: Client, wanted: str) -> None:
    answer = corp.ask("GET", "/Users?filter=" + wanted.replace(" ", "%20").replace('"', "%22"))

    assert (answer.status_code, answer.json()["scimType"]) == (400, "invalidFilter")


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.text(max_size=300))
def test_no_filter_breaks_anything(corp: Client, wanted: str) -> None:
    answer = corp.ask("POST", "/Users/.search", {"filter": wanted, "count": 1})

    assert answer.status_code in {200, 400}, answer.text


def test_a_filter_deeper_than_anybody_needs_breaks_nothing(corp: Client) -> None:
    for deep in ("(" * 5000 + "title pr" + ")" * 5000, "not (" * 5000 + "title pr" + ")" * 5000):
        assert corp.ask("POST", "/Users/.search", {"filter": deep}).status_code in {200, 400}


def test_pages_are_counted_from_one_and_end(corp: Client, people: None) -> None:
    first = corp.ask("GET", "/Users?startIndex=1&count=2").json()
    beyond = corp.ask("GET", "/Users?startIndex=100000&count=2").json()
    none = corp.ask("GET", "/Users?count=0").json()

    assert (first["itemsPerPage"], len(first["Resources"]), first["startIndex"]) == (2, 2, 1)
    assert beyond["totalResults"] == none["totalResults"] == first["totalResults"]
    assert not beyond.get("Resources")
    assert not none.get("Resources")


def test_what_changed_meanwhile_is_not_overwritten(corp: Client) -> None:
    made = corp.user("rita")
    seen = made["meta"]["version"]
    said = {"schemas": [PATCH], "Operations": [{"op": "replace", "value": {"title": "one"}}]}

    assert corp.ask("PATCH", f"/Users/{made['id']}", said, **{"if-match": seen}).status_code == 200
    assert corp.ask("PATCH", f"/Users/{made['id']}", said, **{"if-match": seen}).status_code == 412
    now = corp.ask("GET", f"/Users/{made['id']}")
    unchanged = corp.ask("GET", f"/Users/{made['id']}", **{"if-none-match": now.headers["etag"]})
    assert unchanged.status_code == 304


def test_a_name_is_one_persons_whatever_its_case(corp: Client) -> None:
    corp.user("sven")

    answer = corp.ask("POST", "/Users", {"schemas": [USER], "userName": "SVEN"})

    assert (answer.status_code, answer.json()["scimType"]) == (409, "uniqueness")


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "Replace", "path": 'emails[type eq "work"].value', "value": "new@corp.example"},
        {"op": "Add", "path": 'emails[type eq "work"].value', "value": "new@corp.example"},
        {"op": "replace", "value": {'emails[type eq "work"].value': "new@corp.example"}},
    ],
    ids=str,
)
def test_entras_ways_of_saying_it_are_understood(corp: Client, operation: dict[str, object]) -> None:
    made = corp.user(f"tom{abs(hash(str(operation)))}")

    assert corp.patch(f"/Users/{made['id']}", operation).status_code == 200
    assert corp.ask("GET", f"/Users/{made['id']}").json()["emails"][0]["value"] == "new@corp.example"


def test_t_56_one_providers_client_sees_nothing_of_anothers(corp: Client, other: Client) -> None:
    made, group = corp.user("ute"), corp.group("Uteds")

    for path in (f"/Users/{made['id']}", f"/Groups/{group['id']}"):
        for method in ("GET", "PUT", "PATCH", "DELETE"):
            body = {
                "schemas": [USER],
                "userName": "x",
                "displayName": "x",
                "Operations": [{"op": "replace", "value": {}}],
            }
            assert other.ask(method, path, body).status_code in {400, 404}
    assert corp.ask("GET", f"/Users/{made['id']}").status_code == 200
    assert other.ask("GET", "/Users").json()["totalResults"] == 0
    assert other.ask("GET", '/Users?filter=userName%20eq%20"ute"').json()["totalResults"] == 0


def test_t_56_a_member_from_another_provider_is_nobody(corp: Client, other: Client) -> None:
    other.map("Guests", "guests")
    made = corp.user("vera")

    other.group("Guests", made)

    assert corp.groups(made) == set()


@pytest.mark.parametrize("token", ["", "x", "ost_scim_" + "a" * 43, "ost_pat_" + "a" * 43])
def test_t_01_without_its_token_nobody_is_a_scim_client(house: House, token: str) -> None:
    with house.http() as http:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        answer = http.get("/scim/v2/Users", headers=headers)

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.json()["status"] == "401"


def test_t_04_an_access_token_is_no_scim_token_and_a_scim_token_no_access_token(house: House, corp: Client) -> None:
    agent, secret = house.agent()
    given = house.token({"grant_type": "client_credentials"}, (agent.id, secret)).json()["access_token"]

    with house.http() as http:
        assert http.get("/scim/v2/Users", headers={"authorization": f"Bearer {given}"}).status_code == 401
    assert house.call(corp.token) == 401


def test_whoever_guesses_tokens_is_not_listened_to_for_long(house: House) -> None:
    with house.http() as http:
        got = {http.get("/scim/v2/Users", headers={"authorization": "Bearer x"}).status_code for _ in range(120)}
    assert got == {401, 429}
