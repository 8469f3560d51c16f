"""T-49: a server that is somewhere else now does not get the credentials of its people, not even those at hand."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from gateway.credentials.connections import deeds
from registry.credentials.authenticating import set_auth
from registry.credentials.connections import Tokens, listed
from registry.database import Concern
from registry.servers import find
from registry.tables import Auth, ConnectionState, Server
from tests.fakes.door import Line, eventually, modern
from tests.fakes.furnished import allow, door_of, furnish, minted
from tests.fakes.servers.raw import Asked, RawServer, http, raw_server, result
from tests.gateway.oauth.house import House

if TYPE_CHECKING:
    from pathlib import Path

    from authz.tables import Person

TOKEN = "canary-token-of-" + "a" * 40
MODES: dict[Auth, dict[str, Any]] = {
    Auth.OAUTH_PERSON: {},
    Auth.OAUTH_SHARED: {},
    Auth.STATIC: {"per": "person", "header": "Authorization", "scheme": "Bearer"},
}


async def answer(asked: Asked, _: asyncio.StreamWriter) -> bytes:
    text = asked.headers.get("authorization", "")
    return http(result(asked, {"resultType": "complete", "content": [{"type": "text", "text": text}]}))


def connect(house: House, auth: Auth, person: Person, url: str) -> None:
    equipment = house.world.credentials.equipment
    if auth is Auth.STATIC:
        upstream = house.world.snapshots.current.catalogue.upstreams["files"]
        deeds.give(equipment, upstream, person.id, TOKEN.encode(), who="user:x")
        return
    tokens = Tokens(access=TOKEN, issuer="https://as.example", audience=url)
    deeds.connect(equipment, "files", person.id if auth is Auth.OAUTH_PERSON else "", tokens, who="user:x")


async def call(house: House, token: str) -> str:
    async with Line(door_of(house)) as line:
        got = await line.ask("POST", "/mcp", *modern(token, "tools/call", {"name": "files_read"}))
    return got.body.decode()


async def until_moved(house: House, to: str) -> None:
    await eventually(lambda: house.world.snapshots.current.catalogue.upstreams["files"].url == to, 20)


def seen(server: RawServer) -> bytes:
    return b"".join(asked.head + asked.body for asked in server.asked)


@pytest.mark.parametrize("auth", MODES)
async def test_t_49_tokens_do_not_follow_a_server_to_another_place(tmp_path: Path, auth: Auth) -> None:
    async with raw_server(answer) as home, raw_server(answer) as elsewhere:
        here, there = (f"http://127.0.0.1:{one.port}/mcp" for one in (home, elsewhere))
        house = House(tmp_path, allow_addresses=(there.removesuffix("/mcp"),))
        furnish(house, "files", here, "read")
        with house.office.database.change(Concern.CATALOGUE) as session:
            set_auth(session, find(session, "files"), auth, MODES[auth], {}, house.office.vault)
        person = house.person("alice")
        allow(house, person, "files.*")
        client = house.client()
        with house:
            await asyncio.to_thread(connect, house, auth, person, here)
            token = minted(house, person, client)
            assert TOKEN in await call(house, token)
            with house.office.database.change(Concern.CATALOGUE) as session:
                session.get_one(Server, "files").url = there
            await until_moved(house, there)
            said = await call(house, token)
    assert TOKEN.encode() in seen(home)
    assert TOKEN.encode() not in seen(elsewhere), json.loads(said)


@pytest.mark.parametrize("auth", [Auth.OAUTH_PERSON, Auth.OAUTH_SHARED])
async def test_t_49_what_was_connected_elsewhere_has_to_be_connected_again(tmp_path: Path, auth: Auth) -> None:
    async with raw_server(answer) as home:
        here = f"http://127.0.0.1:{home.port}/mcp"
        house = House(tmp_path)
        furnish(house, "files", here, "read")
        with house.office.database.change(Concern.CATALOGUE) as session:
            set_auth(session, find(session, "files"), auth, {}, {}, house.office.vault)
        person = house.person("alice")
        allow(house, person, "files.*")
        client = house.client()
        with house:
            await asyncio.to_thread(connect, house, auth, person, "https://somewhere.example/mcp")
            said = await call(house, minted(house, person, client))
        with house.office.database.read() as session:
            assert [row.state for row in listed(session)] == [ConnectionState.NEEDS_RECONNECT]
    assert TOKEN not in said
    assert TOKEN.encode() not in seen(home)
