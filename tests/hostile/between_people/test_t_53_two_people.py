"""T-53: two people whose tokens, ids and questions are as alike as can be, at the same time."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING

from authz.tables import Person
from registry.database import Concern
from tests.fakes.door import Line, modern
from tests.fakes.furnished import allow, door_of, furnish
from tests.fakes.servers.raw import Asked, http, raw_server, result
from tests.fakes.tokens import Judge, signed
from tests.gateway.oauth.house import House

if TYPE_CHECKING:
    from pathlib import Path

REQUESTS = 10_000
LINES = 4  # of each person
TWINS = {f"usr_{'0' * 31}1": "anna", f"usr_{'0' * 31}2": "annb"}
OWN = {"anna": b"files_one", "annb": b"files_two"}


async def echo(asked: Asked, writer: asyncio.StreamWriter) -> bytes:
    await asyncio.sleep(0)
    text = json.dumps(asked.message["params"]["arguments"])
    return http(result(asked, {"resultType": "complete", "content": [{"type": "text", "text": text}]}))


def twin(house: House, ident: str, handle: str) -> Person:
    person = Person(id=ident, issuer="local", subject=handle, handle=handle)
    with house.office.database.change(Concern.PEOPLE) as session:
        session.add(person)
    return person


def alike(house: House, client: str, subject: str, now: int) -> str:
    """All that two tokens can share they share, their id too; the difference comes last."""
    said = {"iss": house.base, "aud": house.resource, "client_id": client, "scope": "mcp"}
    said |= {"iat": now, "exp": now + 300, "jti": "the-same", "sub": subject}
    key = house.world.snapshots.current.keys.signer(time.time())
    return signed(Judge(key=key), said).decode()


def shared(one: str, two: str) -> int:
    return next(place for place, (a, b) in enumerate(zip(one, two, strict=False)) if a != b)


async def on_one_line(house: House, token: str, who: str, times: int) -> int:
    other = next(handle for handle in TWINS.values() if handle != who)
    call = modern(token, "tools/call", {"name": "files_both", "arguments": {"marker": f"<{who}>"}})
    listed = modern(token, "tools/list")
    right = 0
    async with Line(door_of(house)) as line:
        for turn in range(times):
            got = await line.ask("POST", "/mcp", *(call, listed)[turn % 2])
            assert got.status == 200, got.body
            assert other.encode() not in got.body
            assert OWN[other] not in got.body
            right += (OWN[who] if turn % 2 else f"<{who}>".encode()) in got.body
    return right


async def test_t_53_ten_thousand_calls_and_lists_of_two_twins_never_cross(tmp_path: Path) -> None:
    async with raw_server(echo) as server:
        house = House(tmp_path)
        client = house.client()
        furnish(house, "files", server.url, "one", "two", "both")
        for ident, handle in TWINS.items():
            allow(house, twin(house, ident, handle), OWN[handle].decode().replace("_", "."), "files.both")
        with house:
            now = int(time.time())
            tokens = {handle: alike(house, client.id, ident, now) for ident, handle in TWINS.items()}
            assert shared(*tokens.values()) > 200
            share = REQUESTS // (2 * LINES)
            jobs = [on_one_line(house, tokens[who], who, share) for who in tokens for _ in range(LINES)]
            assert sum(await asyncio.gather(*jobs)) == REQUESTS
            assert len(house.world.verifier._proved) == 2
    seen = [asked.message["params"]["arguments"]["marker"] for asked in server.asked]
    assert sorted(seen) == ["<anna>"] * (REQUESTS // 4) + ["<annb>"] * (REQUESTS // 4)
