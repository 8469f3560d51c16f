"""T-46: a name that leads elsewhere when it is looked at again."""

import asyncio
import os

import pytest

from gateway.egress.reply import Terms
from gateway.rendezvous.memory import MemoryRendezvous
from gateway.upstream import Ask, UpstreamUnreachable
from gateway.upstream.connections import Servers
from registry.secrets.vault import Vault
from tests.fakes.network.names import resolving
from tests.fakes.servers.raw import Asked, http, raw_server, result

CALL = Ask(method="tools/call", principal=None)


async def well(asked: Asked, writer: asyncio.StreamWriter) -> bytes:
    return http(result(asked))


@pytest.fixture
async def servers():
    one = Servers(Vault({"1": os.urandom(32)}), MemoryRendezvous(), Terms(5.0, 10.0, 2**20), 2**24)
    yield one
    await one.close()


async def test_t_46_a_name_is_resolved_once_and_then_pinned(servers, monkeypatch):
    """A second look would find another address, or nothing."""
    async with raw_server(well) as server:
        resolving(monkeypatch, files=[["127.0.0.1"]])
        for _ in range(3):
            await servers.send(server.upstream(host="files.example"), CALL, None, None)
        both = (servers.send(server.upstream(host="files.example"), CALL, None, None) for _ in range(2))
        await asyncio.gather(*both)
        assert server.connections == 2


@pytest.mark.parametrize(
    ("addresses", "excepted", "rule"),
    [
        (["127.0.0.1"], False, "loopback"),
        (["10.0.0.1"], False, "private-address"),
        (["169.254.169.254"], True, "metadata"),
        (["127.0.0.1", "169.254.169.254"], True, "metadata"),
    ],
)
async def test_t_46_where_one_address_is_not_admitted_none_is_connected_to(
    servers, monkeypatch, addresses, excepted, rule
):
    async with raw_server(well) as server:
        resolving(monkeypatch, files=[addresses])
        upstream = server.upstream(host="files.example", address_exception=excepted)
        with pytest.raises(UpstreamUnreachable, match=rule):
            await servers.send(upstream, CALL, None, None)
        assert not server.connections
