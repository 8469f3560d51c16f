"""What ends in one process is felt in every other within a second."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from authz.people.revoking import of_person
from authz.tables import Person
from gateway.assembly import open_office
from gateway.credentials.connections import deeds
from gateway.credentials.equipment import Equipment
from registry.credentials.authenticating import set_auth
from registry.credentials.connections import Tokens
from registry.database import Concern
from registry.servers import find
from registry.tables import Auth
from tests.fakes.door import Line, modern
from tests.fakes.furnished import allow, door_of, furnish, minted
from tests.fakes.servers.raw import Asked, http, raw_server, result
from tests.gateway.oauth.house import House

if TYPE_CHECKING:
    from pathlib import Path

WITHIN = 20.0  # for a machine that is busy; alone it takes a quarter of a second


async def answer(asked: Asked, _: asyncio.StreamWriter) -> bytes:
    text = asked.headers.get("authorization", "")
    return http(result(asked, {"resultType": "complete", "content": [{"type": "text", "text": text}]}))


@pytest.mark.parametrize("how", ["ended", "another account", "person"])
async def test_what_is_at_hand_is_not_used_once_it_was_ended_elsewhere(tmp_path: Path, how: str) -> None:
    async with raw_server(answer) as server:
        url = f"http://127.0.0.1:{server.port}/mcp"
        house = House(tmp_path)
        furnish(house, "files", url, "read")
        with house.office.database.change(Concern.CATALOGUE) as session:
            set_auth(session, find(session, "files"), Auth.OAUTH_PERSON, {}, {}, house.office.vault)
        person = house.person("alice")
        allow(house, person, "files.*")
        client = house.client()
        elsewhere = open_office(house.settings)  # as another process has it
        equipment = Equipment(elsewhere)

        def connect(access: str) -> None:
            tokens = Tokens(access=access, issuer="https://as.example", audience=url)
            deeds.connect(equipment, "files", person.id, tokens, who="user:alice")

        async def said(line: Line, token: str) -> str:
            return (await line.ask("POST", "/mcp", *modern(token, "tools/call", {"name": "files_read"}))).body.decode()

        with house:
            await asyncio.to_thread(connect, "the-first")
            async with Line(door_of(house)) as line:
                assert "the-first" in await said(line, minted(house, person, client))
                if how == "ended":
                    await asyncio.to_thread(deeds.end, equipment, "files", person.id, who="operator:root")
                elif how == "another account":
                    await asyncio.to_thread(connect, "the-second")
                else:
                    with elsewhere.database.change(Concern.CUTOFFS, Concern.PERSONAL) as session:
                        of_person(session, session.get_one(Person, person.id), time.time())
                wanted, end = (
                    ("the-second" if how == "another account" else "/connect/files"),
                    time.monotonic() + WITHIN,
                )
                while wanted not in (heard := await said(line, minted(house, person, client))):
                    assert time.monotonic() < end, heard
                    await asyncio.sleep(0.05)
                assert "the-first" not in heard + await said(line, minted(house, person, client))
        elsewhere.close()
