"""The servers' side of a process with its real office: keys come from the vault, what happens goes on record."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from gateway.assembly import open_office
from gateway.rendezvous.memory import MemoryRendezvous
from gateway.settings import Settings
from gateway.upstream import Ask, UpstreamBroken, UpstreamBusy
from gateway.upstream.breaker import FAILURES
from gateway.upstream.connections import open_upstreams
from registry.catalogue.assembling import upstream_of
from registry.credentials.tls import set_tls
from registry.servers import Proposal, exception_lines, find, propose
from tests.fakes.network.certificates import Authority
from tests.fakes.servers.raw import Asked, http, raw_server, result

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from gateway.office import Office
    from gateway.upstream.upstreams import Upstreams
    from registry.catalogue import Upstream

CALL = Ask(method="tools/call", params={"name": b'"t"'}, principal=None)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    opened = open_office(Settings(data=tmp_path / "data"), create=True)
    yield opened
    opened.close()


@pytest.fixture
async def upstreams(office: Office) -> AsyncIterator[Upstreams]:
    rendezvous = MemoryRendezvous()
    opened = open_upstreams(office, rendezvous)
    yield opened
    await opened.close()
    await rendezvous.close()


def registered(office: Office, url: str, **tls: bytes) -> Upstream:
    with office.database.change() as session:
        asked = Proposal(slug="notes", url=url, allow_address=True)
        propose(session, asked, who="operator:x", exceptions=(), vault=office.vault)
        if tls:
            set_tls(session, find(session, "notes"), **tls, vault=office.vault)
    with office.database.read() as session:
        return upstream_of(find(session, "notes"), exception_lines(session))


def records(office: Office, *events: str) -> list[dict[str, Any]]:
    files = sorted(office.settings.journal.glob("*.jsonl"))
    lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    return [line for line in lines if line["event"] in events]


async def test_the_key_of_our_certificate_comes_from_the_vault(office, upstreams, caller, tmp_path):
    authority = Authority(tmp_path)
    certificate, key = authority.certify("gateway")
    seen: list[Any] = []

    async def well(asked: Asked, writer: asyncio.StreamWriter) -> bytes:
        seen.append(writer.get_extra_info("peercert")["subject"])
        return http(result(asked))

    async with raw_server(well, authority.certify("localhost").context(authority)) as server:
        pair = {"certificate": certificate.read_bytes(), "key": key.read_bytes()}
        url = f"https://localhost:{server.port}/mcp"
        upstream = registered(office, url, **pair, authorities=authority.certificate.read_bytes())
        assert (await upstreams.send(upstream, CALL, caller, None)).result
    assert seen == [((("commonName", "gateway"),),)]


async def test_that_a_server_is_left_alone_and_that_it_answers_again_is_on_record(office, upstreams, caller):
    down = True

    async def respond(asked: Asked, writer: asyncio.StreamWriter) -> bytes:
        return http(b"", "500 No") if down else http(result(asked))

    async with raw_server(respond) as server:
        upstream = registered(office, server.url)
        for _ in range(FAILURES):
            with pytest.raises(UpstreamBroken):
                await upstreams.send(upstream, CALL, caller, None)
        for _ in range(3):
            with pytest.raises(UpstreamBusy):
                await upstreams.send(upstream, CALL, caller, None)
        strain = upstreams.strains()["notes"]
        assert (strain.trouble, strain.under_way) == ("failing", 0)
        assert 0 < strain.pause <= 10
        down = False
        upstreams._gates["notes"].breaker._next_probe = 0.0  # ten seconds later
        assert (await upstreams.send(upstream, CALL, caller, None)).result
    told = [
        (one["event"], one["server"], one.get("trouble"))
        for one in records(office, "server.left_alone", "server.answers")
    ]
    assert told == [("server.left_alone", "notes", "failing"), ("server.answers", "notes", None)]
