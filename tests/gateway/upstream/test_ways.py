"""Ways to servers: what leaves by one is what leaves by the long way."""

from __future__ import annotations

import re

import pytest
from msgspec.structs import replace

from gateway.upstream import Ask
from registry.catalogue import Credential
from registry.tables import Auth, Era
from tests.fakes.servers.raw import principal, raw_server
from tests.gateway.portal.ending import Server

CALL = Ask(
    method="tools/call", name="t", params={"name": b'"t"', "arguments": b'{"a":1}'}, principal=principal("anna"),
    legacy_session="x",
)  # fmt: skip


def token(server, value: bytes, account: str = "one") -> Credential:
    return Credential(server.slug, f"http://127.0.0.1:{server.port}", b"authorization", value, account=account)


async def by(way, credential) -> None:
    trip = way.trip(b'{"a":1}', credential)
    assert trip is not None
    await trip.depart()
    assert trip.result()
    trip.end()


@pytest.mark.parametrize("era", list(Era))
async def test_what_leaves_by_a_way_is_what_leaves_without(servers, caller, era) -> None:
    async with raw_server(Server("legacy" if era is Era.LEGACY else "modern")) as raw:
        server = raw.upstream(era)
        await servers.send(server, CALL, caller, None)
        await by(servers.way(server, CALL), None)
        one, two = ((each.head, each.message) for each in raw.asked_for("tools/call"))
        assert {**one[1], "id": 0} == {**two[1], "id": 0}
        assert re.sub(rb"Length: \d+", b"", one[0]) == re.sub(rb"Length: \d+", b"", two[0])


async def test_a_renewed_credential_goes_with_the_next_call_of_the_same_session(servers, caller) -> None:
    async with raw_server(Server("legacy")) as raw:
        server = raw.upstream(Era.LEGACY, auth=Auth.STATIC)
        way, old, new = servers.way(server, CALL), token(server, b"Bearer old"), token(server, b"Bearer new")
        await servers.send(server, CALL, caller, old)
        await by(way, old)
        await by(way, new)
        await by(way, old)
        said = [each.headers for each in raw.asked_for("tools/call")]
        assert [each["authorization"] for each in said] == ["Bearer old", "Bearer old", "Bearer new", "Bearer old"]
        assert len({each["mcp-session-id"] for each in said}) == 1


async def test_another_account_has_no_part_in_the_session(servers, caller) -> None:
    async with raw_server(Server("legacy")) as raw:
        server = raw.upstream(Era.LEGACY, auth=Auth.STATIC)
        way = servers.way(server, CALL)
        await servers.send(server, CALL, caller, token(server, b"Bearer one"))
        assert way.trip(b"{}", token(server, b"Bearer two", "two")) is None
        assert way.trip(b"{}", None) is None


async def test_a_trip_that_does_not_leave_gives_its_connection_back(servers, caller) -> None:
    async with raw_server(Server("legacy")) as raw:
        server = raw.upstream(Era.LEGACY)
        await servers.send(server, CALL, caller, None)
        way = servers.way(server, CALL)
        trip = way.trip(b"{}", None)
        assert trip is not None
        assert way.trip(b"{}", None) is None  # there is one connection
        trip.back()
        assert servers.strains()["raw"].under_way == 0
        await by(way, None)
        assert raw.connections == 1


@pytest.mark.parametrize(
    "changes",
    [{"capabilities": b'{"elicitation":{}}'}, {"capabilities": b'{"elicitation":{}}', "legacy_session": ""}],
    ids=["a session", "a modern client"],
)
async def test_where_somebody_can_be_asked_there_is_no_way(servers, changes) -> None:
    async with raw_server(Server("legacy")) as raw:
        server = raw.upstream(Era.LEGACY)
        assert servers.way(server, CALL) is not None
        assert servers.way(server, replace(CALL, **changes)) is None
