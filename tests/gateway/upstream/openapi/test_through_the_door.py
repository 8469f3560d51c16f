"""An HTTP API behind the whole gateway: described, approved, listed, called, changed."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from gateway.upstream.openapi.describing import READ_EVERY
from gateway.upstream.refreshing.once import refresh_once
from registry.approving import Approver, approve
from registry.database import Concern
from registry.observing import observe
from registry.openapi.kept import Text, forget_mark, keep, understand
from registry.openapi.operations import Choice
from registry.reviewing import review
from registry.servers import Proposal, propose
from registry.tables import ApiDescription, Auth, Server, Transport
from tests.fakes.door import Legacy, Line, modern
from tests.fakes.furnished import WHO, allow, door_of, minted
from tests.fakes.servers.api import Answer, Api, described, serving
from tests.gateway.oauth.house import House

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY = b"X-Api-Key: canary-71c3"
AWS = {"region": "eu-central-1", "service": "execute-api", "access_key": "AKIDEXAMPLE"}


def furnish(house: House, api: Api, auth: Auth = Auth.STATIC, settings: Any = None, secrets: Any = None) -> None:
    """All of the API, approved."""
    known = understand(Text(json.dumps(api.description).encode(), api.url), Choice(operations=("*",)))
    asked = Proposal(
        slug="todo", url=known.address, transport=Transport.OPENAPI, allow_address=True, auth=auth,
        auth_settings=settings or {}, secrets=secrets or {"header": KEY},
    )  # fmt: skip
    with house.office.database.change(Concern.CATALOGUE) as session:
        propose(session, asked, who=WHO, exceptions=(), vault=house.office.vault)
        keep(session, "todo", known)
        observe(session, "todo", known.seen)
        shown = review(session, "todo").digests(flagged=True)
        approve(session, "todo", shown, by=Approver(name=WHO, signed_in=False, admins=1), accept_findings=True)


class Client:
    def __init__(self, house: House, token: str, stranger: str = "") -> None:
        self.house, self.token, self.stranger = house, token, stranger

    async def ask(self, method: str, params: dict[str, Any]) -> Any:
        headers, body = modern(self.token, method, params)
        async with Line(door_of(self.house)) as line:
            return json.loads((await line.ask("POST", "/mcp", headers, body)).body)

    async def call(self, name: str, **arguments: Any) -> Any:
        return await self.ask("tools/call", {"name": name, "arguments": arguments})


async def read_anew(client: Client) -> None:
    with client.house.office.database.change() as session:
        forget_mark(session, "todo")
    await refresh_once(client.house.office, "todo", who=WHO)


@pytest.fixture
def api() -> Iterator[Api]:
    with serving(Api()) as found:
        found.answers["GET /api/items/7"] = Answer(b'{"id": 7, "title": "Rest"}')
        yield found


@pytest.fixture
def client(api: Api, tmp_path: Path) -> Iterator[Client]:
    house = House(tmp_path)
    person, stranger, app = house.person(), house.person(), house.client()
    furnish(house, api)
    allow(house, person, "todo.*")
    with house:
        yield Client(house, minted(house, person, app), minted(house, stranger, app))


async def test_clients_see_tools_and_not_how_they_are_called(client: Client) -> None:
    tools = (await client.ask("tools/list", {}))["result"]["tools"]
    assert [tool["name"] for tool in tools] == [
        "todo_items_list", "todo_items_add", "todo_items_get", "todo_items_remove", "todo_pictures_get",
    ]  # fmt: skip
    assert "_meta" not in json.dumps(tools)
    assert tools[0]["annotations"]["readOnlyHint"] is True
    assert tools[2]["inputSchema"]["required"] == ["item"]


async def test_a_call_goes_to_the_api_with_our_credential_and_is_on_record(client: Client, api: Api) -> None:
    answer = await client.call("todo_items_get", item="7")
    assert answer["result"]["structuredContent"] == {"id": 7, "title": "Rest"}
    seen = api.calls[-1]
    assert (seen.method, seen.target, seen.body) == ("GET", "/api/items/7", b"")
    assert seen.all("x-api-key") == ["canary-71c3"]
    assert "canary-71c3" not in json.dumps(answer)
    assert client.token not in str(seen)


async def test_a_client_of_an_earlier_revision_sees_and_calls_the_same(client: Client, api: Api) -> None:
    door = SimpleNamespace(**vars(door_of(client.house)), token=lambda *_: client.token)
    async with Legacy(door) as legacy:  # type: ignore[arg-type]
        tools = (await legacy.say("tools/list")).json["result"]["tools"]
        assert "dev.ostiary" not in json.dumps(tools)
        assert len(tools) == 5
        call = {"name": "todo_items_get", "arguments": {"item": "7"}}
        result = (await legacy.say("tools/call", call)).json["result"]
    assert result["structuredContent"] == {"id": 7, "title": "Rest"}
    assert "resultType" not in result


async def test_what_the_api_refuses_is_an_error_of_the_tool(client: Client, api: Api) -> None:
    api.answers["POST /api/items"] = Answer(b'{"errors":[{"field":"title","code":"missing"}]}', 422)
    result = (await client.call("todo_items_add", body={}))["result"]
    assert result["isError"] is True
    assert "title" in result["content"][0]["text"]


async def test_a_tool_that_nobody_allowed_is_not_called(client: Client, api: Api) -> None:
    answer = await Client(client.house, client.stranger).call("todo_items_get", item="7")
    assert answer["error"]["code"] == -32602
    assert api.calls == []


async def test_a_changed_description_takes_the_tool_away_until_it_is_approved(client: Client, api: Api) -> None:
    changed = described()
    changed["paths"]["/items/{item}"]["get"]["parameters"] = [{"name": "as", "in": "query"}]
    api.description = changed
    await read_anew(client)
    answer = await client.call("todo_items_list")
    assert answer["result"]["isError"] is True  # 404: it is still called
    for _ in range(100):
        answer = await client.call("todo_items_get", item="7")
        if "error" in answer:
            break
    assert answer["error"]["code"] == -32602


async def test_a_description_that_cannot_be_read_any_more_is_a_failure_and_no_drift(client: Client, api: Api) -> None:
    api.description = b"<html>moved</html>"
    await read_anew(client)
    with client.house.office.database.read() as session:
        server = session.get_one(Server, "todo")
        assert "its description cannot be used" in server.failure
        assert all(item.status == "approved" for item in review(session, "todo").items)
    api.description = described()
    await read_anew(client)
    with client.house.office.database.read() as session:
        assert session.get_one(Server, "todo").failure == ""


async def test_a_description_that_does_not_say_whether_it_changed_is_read_seldom(client: Client, api: Api) -> None:
    def read() -> int:
        return sum(one.target == "/openapi.json" for one in api.seen)

    await refresh_once(client.house.office, "todo", who=WHO)
    before = read()
    await refresh_once(client.house.office, "todo", who=WHO)
    assert read() == before
    with client.house.office.database.change() as session:
        session.get_one(ApiDescription, "todo").read_at -= READ_EVERY + 1
    await refresh_once(client.house.office, "todo", who=WHO)
    await refresh_once(client.house.office, "todo", who=WHO)
    assert read() == before + 1


async def test_requests_to_aws_are_signed(api: Api, tmp_path: Path) -> None:
    house = House(tmp_path)
    person, app = house.person(), house.client()
    furnish(house, api, Auth.AWS, AWS, {"aws_secret": b"canary-aws-key"})
    allow(house, person, "todo.*")
    with house:
        client = Client(house, minted(house, person, app))
        await client.call("todo_items_get", item="7")
        await client.call("todo_items_get", item="7")
    assert len(api.calls) == 2
    for seen in api.calls:
        assert seen.all("authorization")[0].startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
        assert "canary-aws-key" not in str(seen)
