"""Which era a server is of: only positive evidence makes it modern."""

import asyncio

import pytest

from gateway.upstream import UpstreamBroken, UpstreamBusy, UpstreamError
from registry.tables import Era
from tests.fakes.processes import running
from tests.fakes.servers.raw import Asked, error, http, raw_server, result, upstream_at

DISCOVERED = {
    "resultType": "complete",
    "supportedVersions": ["2026-07-28"],
    "capabilities": {"tools": {"listChanged": True}},
    "instructions": "be kind",
    "ttlMs": 0,
    "cacheScope": "public",
    "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "m", "version": "1"}},
}
INITIALIZED = {
    "protocolVersion": "2025-06-18",
    "capabilities": {"tools": {}},
    "serverInfo": {"name": "l", "version": "1"},
}


def server_of(discover, initialize=None):
    async def respond(asked: Asked, writer: asyncio.StreamWriter) -> bytes:
        if asked.method == "server/discover":
            return discover(asked)
        if asked.method == "initialize" and initialize is not None:
            return initialize(asked)
        return http(b"", "202 Accepted") if asked.method.startswith("notifications/") else http(b"", "400 Bad Request")

    return respond


def legacy(asked: Asked) -> bytes:
    return http(result(asked, INITIALIZED))


async def test_a_modern_server_says_what_it_is(servers):
    async with raw_server(server_of(lambda asked: http(result(asked, DISCOVERED)))) as server:
        found = await servers.probe(server.upstream(), None)
    assert (found.era, found.protocol_version, found.instructions) == (Era.MODERN, "2026-07-28", "be kind")
    assert found.capabilities == {"tools": {"listChanged": True}}
    assert found.info == {"name": "m", "version": "1"}


NO_EVIDENCE = {
    "400 with the old band": lambda asked: http(error(asked, -32000), "400 Bad Request"),
    "400 without a body": lambda asked: http(b"", "400 Bad Request"),
    "400 of a proxy": lambda asked: http(b"<html>", "400 Bad Request", "text/html"),
    "404": lambda asked: http(b"", "404 Not Found"),
    "404 with an unknown method": lambda asked: http(error(asked, -32601), "404 Not Found"),
    "an unknown method": lambda asked: http(error(asked, -32601)),
    "406": lambda asked: http(b"", "406 Not Acceptable"),
    "500": lambda asked: http(b"", "500 No"),
    "a result of something else": lambda asked: http(result(asked, {"tools": []})),
    "only older versions": lambda asked: http(result(asked, DISCOVERED | {"supportedVersions": ["2025-11-25"]})),
    "unsupported, older ones named": lambda asked: http(
        error(asked, -32022, data={"supported": ["2025-11-25"], "requested": "2026-07-28"}), "400 Bad Request"
    ),
}


@pytest.mark.parametrize("discover", NO_EVIDENCE.values(), ids=NO_EVIDENCE.keys())
async def test_without_evidence_the_handshake_decides(servers, discover):
    async with raw_server(server_of(discover, legacy)) as server:
        found = await servers.probe(server.upstream(), None)
    assert (found.era, found.protocol_version) == (Era.LEGACY, "2025-06-18")
    assert found.info == {"name": "l", "version": "1"}


@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden"])
async def test_a_refused_credential_says_nothing_of_the_era(servers, status):
    async with raw_server(server_of(lambda asked: http(b"", status), legacy)) as server:
        with pytest.raises(UpstreamBroken, match="credential"):
            await servers.probe(server.upstream(), None)
        assert not server.asked_for("initialize")


async def test_a_server_that_turns_away_what_it_speaks_is_asked_once_more(servers):
    turned_away: list[Asked] = []

    def discover(asked: Asked) -> bytes:
        if turned_away:
            return http(result(asked, DISCOVERED))
        turned_away.append(asked)
        return http(error(asked, -32022, data={"supported": ["2026-07-28"], "requested": "x"}), "400 Bad Request")

    async with raw_server(server_of(discover, legacy)) as server:
        assert (await servers.probe(server.upstream(), None)).era is Era.MODERN
        assert not server.asked_for("initialize")


async def test_a_server_that_always_does_so_speaks_nothing(servers):
    def discover(asked: Asked) -> bytes:
        return http(error(asked, -32022, data={"supported": ["2026-07-28"]}), "400 Bad Request")

    async with raw_server(server_of(discover)) as server:
        with pytest.raises(UpstreamBroken, match="no revision of the protocol"):
            await servers.probe(server.upstream(), None)
        assert len(server.asked_for("server/discover")) == 2


async def test_a_busy_server_says_nothing_of_the_era(servers):
    async with raw_server(server_of(lambda asked: http(b"", "503 Busy"), legacy)) as server:
        with pytest.raises(UpstreamBusy):
            await servers.probe(server.upstream(), None)


async def test_a_server_of_a_later_age_is_named_as_such(servers):
    async with raw_server(
        server_of(lambda asked: http(result(asked, DISCOVERED | {"supportedVersions": ["2031-01-01"]})))
    ) as server:
        with pytest.raises(UpstreamBroken, match="no revision of the protocol"):
            await servers.probe(server.upstream(), None)


async def test_what_is_no_server_at_all_is_refused(servers):
    async with raw_server(server_of(lambda asked: http(b"<html>hello", kind="text/html"))) as server:
        with pytest.raises(UpstreamError):
            await servers.probe(server.upstream(), None)


async def test_each_probe_asks_afresh(servers):
    """A server that was mended, or replaced, is seen as what it is now (no verdict is for ever)."""
    modern = False

    def discover(asked: Asked) -> bytes:
        return http(result(asked, DISCOVERED)) if modern else http(b"", "400 Bad Request")

    async with raw_server(server_of(discover, legacy)) as server:
        assert (await servers.probe(server.upstream(), None)).era is Era.LEGACY
        modern = True
        assert (await servers.probe(server.upstream(), None)).era is Era.MODERN


async def test_probing_a_legacy_server_again_and_again_leaves_one_session(servers):
    begun, ended = [], []

    async def respond(asked: Asked, writer: asyncio.StreamWriter) -> bytes:
        if asked.line.startswith("DELETE"):
            ended.append(asked.headers["mcp-session-id"])
            return http(b"")
        if asked.method == "initialize":
            begun.append(f"s{len(begun)}")
            return http(result(asked, INITIALIZED), extra=f"Mcp-Session-Id: {begun[-1]}\r\n")
        return http(b"", "202 Accepted") if asked.method.startswith("notifications/") else http(b"", "400 Bad Request")

    async with raw_server(respond) as server:
        for _ in range(3):
            await servers.probe(server.upstream(), None)
        assert (begun, ended) == (["s0", "s1", "s2"], ["s1", "s2"])


@pytest.mark.parametrize("era", list(Era))
async def test_servers_of_the_sdk_are_told_apart(servers, era):
    with running("-m", "tests.fakes.fixture", "--era", str(era)) as url:
        assert (await servers.probe(upstream_at(url), None)).era is era
        await servers.close()
