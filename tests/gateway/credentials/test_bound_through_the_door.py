"""A whole call with a token that is bound to a key: through the door, the plan of the call, and the way out."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from gateway.credentials.oauth.connecting import flow
from registry.credentials.authenticating import set_auth
from registry.database import Concern
from registry.servers import find
from registry.tables import Auth
from tests.fakes.door import Line, modern
from tests.fakes.furnished import allow, door_of, furnish, minted
from tests.fakes.servers.demanding import Demanding
from tests.fakes.servers.upstream_oauth import serving
from tests.gateway.credentials.oauth.settled import query_of
from tests.gateway.oauth.house import House

if TYPE_CHECKING:
    from pathlib import Path

    from authz.tables import Person


def connect(house: House, fake: Demanding, person: Person) -> None:
    tools, browser = house.world.credentials.equipment, "a browser"
    upstream = house.world.snapshots.current.catalogue.upstreams["diary"]
    whose = {"person": person.id, "browser": browser}
    departure = flow.begin(tools, upstream, subject=person.id, **whose)
    flow.finish(tools, "diary", query_of(fake.arrive(departure.url, person.id)), **whose)


async def test_each_call_proves_the_key_whatever_nonce_the_server_comes_to_want(tmp_path: Path) -> None:
    with serving(Demanding(nonces=True)) as fake:
        house = House(tmp_path)
        furnish(house, "diary", fake.url, "whoami")
        with house.office.database.change(Concern.CATALOGUE) as session:
            set_auth(session, find(session, "diary"), Auth.OAUTH_PERSON, {}, {}, house.office.vault)
        person, client = house.person("alice"), house.client()
        allow(house, person, "diary.*")
        with house:
            await asyncio.to_thread(connect, house, fake, person)
            fake.refused.clear()
            token = minted(house, person, client)
            async with Line(door_of(house)) as line:
                for number in range(6):
                    if number % 2 == 0:
                        fake.turn()
                    got = await line.ask("POST", "/mcp", *modern(token, "tools/call", {"name": "diary_whoami"}))
                    said = json.loads(got.body)["result"]["content"][0]["text"]
                    assert json.loads(said)["person"] == person.id
    assert len(fake.calls) == 6
    assert fake.refused == ["nonce"] * 3  # once after each change
