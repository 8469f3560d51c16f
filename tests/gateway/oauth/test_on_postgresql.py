"""What must happen once happens once also where writers are not one: the races of the flow, on PostgreSQL."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from authz.fingerprints import fingerprint
from authz.tables import RefreshToken
from authz.tokens.families import GRACE
from tests.gateway.oauth.house import House, pkce
from tests.servers.postgres import postgresql

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.servers


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with postgresql() as url, House(tmp_path_factory.mktemp("house"), database_url=url) as opened:
        yield opened


def test_t_26_of_twenty_that_bring_one_code_one_succeeds(house: House) -> None:
    client, proof = house.client(), pkce()
    code = house.code(house.person(), client, proof)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: house.redeem(client, code, proof), range(20)))

    assert sorted({answer.status_code for answer in answers}) == [200, 400]
    good = [answer.json() for answer in answers if answer.status_code == 200]
    assert len(good) == 1
    house.until_call(good[0]["access_token"], 401)
    assert house.refresh(client, good[0]["refresh_token"]).json()["error"] == "invalid_grant"


def test_t_19_fifty_that_bring_one_refresh_token_get_one_successor(house: House) -> None:
    client = house.client()
    first = house.tokens(house.person(), client)["refresh_token"]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: house.refresh(client, first), range(50)))

    assert [answer.status_code for answer in answers] == [200] * 50
    assert len({answer.json()["refresh_token"] for answer in answers}) == 1


def test_t_19_reuse_and_use_at_once_end_with_a_dead_family(house: House) -> None:
    client = house.client()
    first = house.tokens(house.person(), client)["refresh_token"]
    second = house.refresh(client, first).json()["refresh_token"]
    with house.office.database.change() as session:
        row = session.get_one(RefreshToken, fingerprint(first))
        assert row.rotated_at is not None
        row.rotated_at -= GRACE + 1

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: house.refresh(client, (first, second)[number % 2]), range(20)))

    given = {answer.json()["refresh_token"] for answer in answers if answer.status_code == 200}
    for token in given | {first, second}:
        assert house.refresh(client, token).json()["error"] == "invalid_grant"
