"""API keys in a query or a cookie: where they go, where they never show, and what has no such key."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, quote_plus, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.credentials.connections import deeds
from gateway.upstream import UpstreamUnreachable
from gateway.upstream.openapi.keys import pair, without
from registry.catalogue.assembling import upstream_of
from registry.credentials.authenticating import set_auth
from registry.credentials.modes import read_auth
from registry.credentials.modes.static import StaticSettings
from registry.credentials.placing import placed
from registry.errors import RegistryError
from registry.servers import exception_lines, find
from registry.tables import Auth
from tests.fakes.furnished import allow, furnish, minted
from tests.fakes.servers.api import Answer, Api, described, operation, serving
from tests.fakes.servers.raw import http, raw_server
from tests.gateway.oauth.house import House
from tests.gateway.upstream.openapi.test_calls import DOING, Client, at, saying
from tests.gateway.upstream.openapi.test_through_the_door import Client as Caller
from tests.gateway.upstream.openapi.test_through_the_door import furnish as furnish_api

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gateway.upstream.connections import Servers

KEY = "canary/7f3a+9=="
QUERY = {"query": "api_key"}


@pytest.fixture
def client(servers: Servers, caller: Any) -> Client:
    return Client(servers, caller)


def credential(server: Any, **settings: str) -> Any:
    return placed(StaticSettings.model_validate(settings or QUERY), KEY.encode()).credential("todo", server.url)


async def sent(client: Client, arguments: Any, name: str = "items_list", **settings: str) -> Any:
    async with raw_server(saying(http(b"[]"))) as server:
        await client.call(DOING, name, arguments, at(server), credential(server, **settings))
        return server.asked[0]


async def test_the_key_is_the_last_of_the_query(client: Client) -> None:
    asked = await sent(client, {"page": 2})
    assert asked.line == f"GET /api/items?page=2&api_key={quote(KEY, safe='')} HTTP/1.1"
    assert parse_qsl(urlsplit(asked.line.split()[1]).query)[-1] == ("api_key", KEY)
    assert KEY not in str(asked.headers)


async def test_or_all_of_it(client: Client) -> None:
    asked = await sent(client, {"item": "7"}, "items_get")
    assert asked.line == f"GET /api/items/7?api_key={quote(KEY, safe='')} HTTP/1.1"


async def test_a_cookie_is_a_line(client: Client) -> None:
    asked = await sent(client, {}, cookie="sid")
    assert asked.headers["cookie"] == f"sid={KEY}"
    assert KEY not in asked.line


@pytest.mark.parametrize("name", ["api_key", "API_KEY"])
async def test_an_argument_of_that_name_is_never_sent(client: Client, name: str) -> None:
    members = {"name": "more", "in": "query", "schema": {"type": "object"}}
    async with raw_server(saying(http(b"{}"))) as server:
        told = {"more": {name: "mine"}}
        result = await client.call(operation("/x", members), "op", told, at(server), credential(server))
        assert "the gateway authenticates with" in result["content"][0]["text"]
        assert server.asked == []


async def test_t_49_at_another_origin_nothing_is_sent(client: Client) -> None:
    async with raw_server(saying(http(b"{}"))) as server, raw_server(saying(http(b"{}"))) as other:
        with pytest.raises(UpstreamUnreachable):
            await client.call(DOING, "items_list", {}, at(server), credential(other))
        assert server.asked == other.asked == []


ECHOES = (
    Answer(json.dumps({"id": 7, "self": f"http://x/items?api_key={quote(KEY, safe='')}"}).encode()),
    Answer(json.dumps({"id": 7, "self": KEY}).encode()),
    Answer(json.dumps({"id": 7, "self": KEY}).replace("/", "\\/").encode()),
    Answer(f"see http://x/items?api_key={quote(KEY).lower()}".encode(), kind="text/plain"),
    Answer(f"http://x/?api_key={KEY}".encode(), kind="text/html"),
    Answer(b'{"id": 7}', headers={"Link": f'<http://x/items?page=2&tags={quote_plus(KEY)}&api_key=x>; rel="next"'}),
    Answer(json.dumps({"error": KEY, "param": KEY}).encode(), 400),
    Answer(b"", 302, headers={"Location": f"http://x/?api_key={quote_plus(KEY)}"}),
    Answer(KEY.encode(), 500, "text/plain"),
    Answer(KEY.encode(), 503, "text/plain"),
)


@pytest.fixture
def api() -> Iterator[Api]:
    with serving(Api()) as found:
        yield found


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def forms(key: str) -> set[str]:
    """As it may stand somewhere."""
    return {form.lower() for form in (key, quote(key), quote(key, safe=""), quote_plus(key), key.replace("/", "\\/"))}


def shown(text: str) -> bool:
    return any(form in text.lower() for form in forms(KEY))


def everything_in(folder: Path) -> bytes:
    """The database, the journal, whatever else is there."""
    return b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())


@pytest.mark.parametrize("echo", ECHOES, ids=range(len(ECHOES)))
async def test_it_shows_nowhere(
    house: House, api: Api, caplog: pytest.LogCaptureFixture, tmp_path: Path, echo: Answer
) -> None:
    api.answers["GET /api/items"] = echo
    person = house.person()
    furnish_api(house, api, settings=QUERY, secrets={"api_key": KEY.encode()})
    allow(house, person, "todo.*")
    app = house.client()
    with house, caplog.at_level(logging.DEBUG, "ostiary"):
        token = minted(house, person, app)
        caller = Caller(house, token)
        answers = [await caller.ask("tools/list", {}), await caller.call("todo_items_list", page=1)]
        assert ("api_key", KEY) in parse_qsl(urlsplit(api.calls[-1].target).query)
    assert not shown(json.dumps(answers))
    assert not shown(caplog.text)
    kept = everything_in(tmp_path)
    assert b"todo" in kept
    assert KEY.encode() not in kept
    assert quote_plus(KEY).encode() not in kept


async def test_of_people_each_sends_their_own(house: House, api: Api) -> None:
    api.answers["GET /api/items"] = Answer(b"[]")
    ann, bob = house.person("ann"), house.person("bob")
    furnish_api(house, api, settings={"per": "person", **QUERY}, secrets={"api_key": b"to-read-with"})
    for person in (ann, bob):
        allow(house, person, "todo.*")
    app = house.client()
    with house:
        equipment = house.world.credentials.equipment
        with house.office.database.read() as session:
            upstream = upstream_of(find(session, "todo"), exception_lines(session))
        for person in (ann, bob):
            deeds.give(equipment, upstream, person.id, f"key-of-{person.handle}".encode(), who=f"user:{person.handle}")
            await Caller(house, minted(house, person, app)).call("todo_items_list")
    asked = [parse_qsl(urlsplit(one.target).query) for one in api.calls]
    assert asked == [[("api_key", "key-of-ann")], [("api_key", "key-of-bob")]]


@given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=8, max_size=40), st.data())
def test_however_it_is_written_it_is_struck_out(key: str, data: st.DataObject) -> None:
    made = placed(StaticSettings(query="k"), key.encode()).credential("todo", "https://x.example/")
    escaped = data.draw(st.sampled_from([key, quote(key), quote(key, safe=""), quote_plus(key)]))
    texts = (escaped, json.dumps(escaped), json.dumps({"text": json.dumps({"self": escaped})}))
    for text in texts:
        left = without(text.encode(), made).decode()
        assert escaped not in left
        assert "[key]" in left
    assert parse_qsl(pair(made).decode(), keep_blank_values=True) == [("k", key)]


@pytest.mark.parametrize("settings", [QUERY, {"cookie": "sid"}])
def test_a_server_of_mcp_takes_none(house: House, settings: dict[str, str]) -> None:
    furnish(house, "wiki", "http://127.0.0.1:1/mcp", "add")
    with house, house.office.database.change() as session:
        told = (find(session, "wiki"), Auth.STATIC, settings, {"api_key": KEY.encode()}, house.office.vault)
        with pytest.raises(RegistryError, match="against its protocol"):
            set_auth(session, *told)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"query": "key", "cookie": "key"}, "one place"),
        ({"query": "key", "header": "X", "per": "person"}, "one place"),
        ({"query": "key", "scheme": "Bearer"}, "--scheme goes with --header"),
        ({"query": "a&b"}, "--query"),
        ({"query": "a=b"}, "--query"),
        ({"cookie": "a;b"}, "--cookie"),
        ({"per": "person"}, "--header is missing"),
    ],
)
def test_what_makes_no_sense_is_said(settings: dict[str, str], words: str) -> None:
    with pytest.raises(RegistryError, match=words):
        read_auth(Auth.STATIC, settings)


@pytest.mark.parametrize("value", ["short", "with space in it", "two\r\nlines-of-it", "é" * 10, ""])
def test_a_key_that_could_not_be_told_from_other_text_is_refused(value: str) -> None:
    with pytest.raises(RegistryError, match="at least eight"):
        placed(StaticSettings(query="k"), value.encode())


def test_a_cookie_has_no_separators_in_it() -> None:
    with pytest.raises(RegistryError, match="for a cookie"):
        placed(StaticSettings(cookie="k"), b"12345678; admin=1")


def test_the_secret_has_to_be_the_one_that_there_is_a_place_for(house: House, api: Api) -> None:
    with house:
        with pytest.raises(RegistryError, match="--api-key"):
            furnish_api(house, api, settings=QUERY, secrets={"header": b"X-Key: 12345678"})
        with pytest.raises(RegistryError, match="--header"):
            furnish_api(house, api, secrets={"api_key": KEY.encode()})


def test_the_description_is_the_one_that_every_test_has() -> None:
    assert "securitySchemes" not in json.dumps(described())  # so that the parameter is ours alone
