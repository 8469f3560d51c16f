"""An HTTP API whose tokens come from an authorization server that publishes nothing, behind the whole gateway."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from gateway.credentials.oauth.connecting import flow
from registry.catalogue.assembling import upstream_of
from registry.credentials import connections
from registry.servers import exception_lines, find
from registry.tables import Auth
from tests.fakes.furnished import allow, minted
from tests.fakes.servers.api import Answer, Api, Seen
from tests.fakes.servers.api import serving as serving_api
from tests.fakes.servers.upstream_authority import Authority
from tests.fakes.servers.upstream_oauth import serving
from tests.gateway.credentials.oauth.settled import query_of
from tests.gateway.oauth.house import House
from tests.gateway.upstream.openapi.test_through_the_door import Client as Caller
from tests.gateway.upstream.openapi.test_through_the_door import furnish

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Guarded(Api):
    """Takes the tokens of one authorization server, and says in no way whose those are."""

    tokens: Authority

    def answer(self, seen: Seen) -> Answer:
        known = super().answer(seen)
        given = "".join(seen.all("authorization")).removeprefix("Bearer ")
        return known if seen.target == "/openapi.json" or given in self.tokens.accounts else Answer(b"{}", 401)


@pytest.fixture
def tokens() -> Iterator[Authority]:
    """As old as GitHub's: scopes with commas, no issuer, nothing published."""
    with serving(Authority()) as made:
        made.add_app("ours", "s3cret")
        made.answer, made.token = {"iss": ""}, {"token_type": "bearer", "scope": "items:read,items:write"}
        yield made


@pytest.fixture
def api(tokens: Authority) -> Iterator[Guarded]:
    with serving_api(Guarded()) as made:
        made.tokens = tokens
        made.answers["GET /api/items"] = Answer(b"[]")
        yield made


async def test_each_person_calls_with_an_account_of_their_own(tmp_path: Path, api: Guarded, tokens: Authority) -> None:
    house = House(tmp_path, allow_addresses=(tokens.origin,))
    people, app = [house.person("ann"), house.person("bob")], house.client()
    settings: dict[str, Any] = {
        "authorization_endpoint": f"{tokens.origin}/authorize", "token_endpoint": f"{tokens.origin}/token",
        "client_id": "ours", "client_auth": "client_secret_post", "scopes": ["items:read", "items:write"],
    }  # fmt: skip
    furnish(house, api, Auth.OAUTH_PERSON, settings, {"client_secret": b"s3cret"})
    for person in people:
        allow(house, person, "todo.*")
    with house:
        callers = [Caller(house, minted(house, person, app)) for person in people]
        assert "connect" in str(await callers[0].call("todo_items_list"))
        assert api.calls == []
        for person in people:
            connect(house, tokens, person.id)
        for caller in callers:
            assert (await caller.call("todo_items_list"))["result"]["isError"] is False
        assert sent(api) == [bearer(tokens, person.id) for person in people]
        house.world.credentials.equipment.clock = lambda: time.time() + 60  # the token is not young any more
        tokens.expire()
        after = await callers[0].call("todo_items_list")
        assert after.get("result", {}).get("isError") is False, after
        assert tokens.asked("/token")[-1].form["grant_type"] == "refresh_token"
        assert sent(api)[-1] == bearer(tokens, people[0].id)
    assert {one.path for one in tokens.heard} == {"/token"}
    assert not any("resource" in one.form for one in tokens.heard)


def connect(house: House, tokens: Authority, person: str) -> None:
    """As the pages do it."""
    equipment = house.world.credentials.equipment
    with house.office.database.read() as session:
        lines = [*house.office.settings.allow_addresses, *exception_lines(session)]
        upstream = upstream_of(find(session, "todo"), lines)
    told: dict[str, str] = {"person": person, "browser": "a-cookie"}
    back = tokens.arrive(flow.begin(equipment, upstream, subject=person, **told).url, person)
    flow.finish(equipment, "todo", query_of(back), **told)
    with house.office.database.read() as session:
        row = connections.find(session, "todo", person)
    assert row is not None
    assert row.scopes == ["items:read", "items:write"]


def sent(api: Api) -> list[str]:
    return ["".join(one.all("authorization")) for one in api.calls]


def bearer(tokens: Authority, person: str) -> str:
    return f"Bearer {[token for token, account in tokens.accounts.items() if account.person == person][-1]}"
