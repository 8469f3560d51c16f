"""TLS with single servers: a certificate of ours that they demand, authorities of their own."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import threading
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest

from gateway.egress.reply import Terms
from gateway.rendezvous.memory import MemoryRendezvous
from gateway.upstream import Ask, UpstreamBroken, UpstreamUnreachable
from gateway.upstream.connections import Servers
from gateway.upstream.troubles import Trouble
from registry.credentials.tls import Tls
from registry.errors import SecretRefused
from registry.secrets.vault import Vault
from registry.tables import Era
from tests.fakes.network.certificates import Authority
from tests.fakes.servers.raw import Asked, http, raw_server, result, upstream_at

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from registry.catalogue import Upstream
    from tests.fakes.servers.raw import RawServer

CALL = Ask(method="tools/call", params={"name": b'"t"'}, principal=None)
HOST = "localhost"


async def well(asked: Asked, writer: asyncio.StreamWriter) -> bytes:
    return http(result(asked))


@pytest.fixture
def theirs(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "theirs")


@pytest.fixture
def ours(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "ours")


def tls(authority: Authority | None = None, certificate: Path | None = None) -> Tls:
    pem = authority.certificate.read_text() if authority else ""
    own = certificate.read_text() if certificate else ""
    return Tls(certificate=own, authorities=pem, digest=sha256((own + pem).encode()).hexdigest())


def at(server: RawServer, of: Tls | None, **changes: Any) -> Upstream:
    return server.upstream(Era.MODERN, host=HOST, scheme="https", tls=of, **changes)


@pytest.fixture
async def reaching() -> AsyncIterator[Callable[..., Servers]]:
    made: list[Servers] = []

    def reach(key: Path | None = None) -> Servers:
        def keys(slug: str) -> bytes:
            if key is None:
                raise SecretRefused(f"no secret is kept for {slug}")
            return key.read_bytes()

        one = Servers(Vault({"1": b"v" * 32}), MemoryRendezvous(), Terms(5.0, 10.0, 2**20), 2**24, keys=keys)
        made.append(one)
        return one

    yield reach
    for one in made:
        await one.close()


async def refusal(servers: Servers, upstream: Upstream, caller: Any) -> UpstreamUnreachable:
    with pytest.raises(UpstreamUnreachable) as refused:
        await servers.send(upstream, CALL, caller, None)
    assert refused.value.trouble is Trouble.TLS
    return refused.value


async def test_a_server_that_demands_a_certificate_gets_ours(reaching, caller, theirs, ours):
    certificate, key = ours.certify("gateway")
    seen: list[Any] = []

    async def looking(asked: Asked, writer: asyncio.StreamWriter) -> bytes:
        seen.append(writer.get_extra_info("peercert")["subject"])
        return http(result(asked))

    async with raw_server(looking, theirs.certify(HOST).context(ours)) as server:
        upstream = at(server, tls(theirs, certificate))
        servers = reaching(key)
        for _ in range(3):
            assert (await servers.send(upstream, CALL, caller, None)).result
        assert server.connections == 1
    assert seen == [((("commonName", "gateway"),),)] * 3


@contextlib.contextmanager
def strict(context: ssl.SSLContext) -> Iterator[tuple[int, list[bytes]]]:
    """A server that ends TLS as OpenSSL does, with an alert (asyncio's just hangs up); its port, and what it heard."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    plain, _ = listening.accept()
                except OSError:
                    return
                with plain, contextlib.suppress(OSError), context.wrap_socket(plain, server_side=True) as shut:
                    heard.append(shut.recv(100))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1], heard
        listening.shutdown(socket.SHUT_RDWR)
    thread.join(5)


@pytest.mark.parametrize("whose", [None, "stranger"])
async def test_without_the_right_certificate_it_says_that_one_is_wanted(
    reaching, caller, theirs, ours, tmp_path, whose
):
    certificate, key = Authority(tmp_path, whose).certify("gateway") if whose else (None, None)
    with strict(theirs.certify(HOST).context(ours)) as (port, heard):
        upstream = upstream_at(f"https://{HOST}:{port}/mcp")
        said = await refusal(reaching(key), replace(upstream, scheme="https", tls=tls(theirs, certificate)), caller)
    assert "it may want a certificate of ours, or another" in str(said)
    assert heard == []


@pytest.mark.parametrize(
    ("name", "days", "word"), [(HOST, -1, "expired"), ("other.example", 1, "mismatch")], ids=["expired", "wrong name"]
)
async def test_what_is_wrong_with_a_servers_certificate_is_said(reaching, caller, theirs, name, days, word):
    async with raw_server(well, theirs.certify(name, days=days).context()) as server:
        said = await refusal(reaching(), at(server, tls(theirs)), caller)
    assert word in str(said)
    assert server.asked == []


async def test_an_authority_of_its_own_stands_in_place_of_all_others(reaching, caller, theirs, ours):
    async with raw_server(well, theirs.certify(HOST).context()) as server:
        for of in (tls(ours), None):
            said = await refusal(reaching(), at(server, of), caller)
            assert "does not hold" in str(said)


async def test_another_certificate_means_another_connection(reaching, caller, theirs, ours):
    certificate, key = ours.certify("gateway")
    async with raw_server(well, theirs.certify(HOST).context(ours)) as server:
        servers = reaching(key)
        await servers.send(at(server, tls(theirs, certificate)), CALL, caller, None)
        renewed, new_key = ours.certify("gateway")
        assert new_key == key  # the file, which has the new key now
        await servers.send(at(server, tls(theirs, renewed)), CALL, caller, None)
        assert server.connections == 2


async def test_a_call_is_not_sent_again_when_tls_breaks_after_it(reaching, caller, theirs):
    """Anybody on the way can break a record; whether the server has acted by then, nobody can tell."""

    async def broken_on_the_second(asked: Asked, writer: asyncio.StreamWriter) -> bytes | None:
        if len(server.asked) == 1:
            return http(result(asked))
        plain = writer.get_extra_info("socket")
        os.write(plain.fileno(), b"\x17\x03\x03\x00\x20" + bytes(32))
        return None

    async with raw_server(broken_on_the_second, theirs.certify(HOST).context()) as server:
        servers, upstream = reaching(), at(server, tls(theirs))
        await servers.send(upstream, CALL, caller, None)
        with pytest.raises(UpstreamBroken, match="may have been carried out"):
            await servers.send(upstream, CALL, caller, None)
        assert len(server.asked) == 2


async def test_a_key_that_does_not_open_is_an_administrators_matter_and_nothing_is_sent(reaching, caller, theirs, ours):
    certificate, _ = ours.certify("gateway")
    async with raw_server(well, theirs.certify(HOST).context(ours)) as server:
        said = await refusal(reaching(), at(server, tls(theirs, certificate)), caller)
    assert "administrator" in str(said)
    assert server.connections == 0


async def test_no_key_is_left_on_disk(reaching, caller, theirs, ours, tmp_path, monkeypatch):
    """While OpenSSL reads it, it lies there encrypted."""
    import tempfile

    certificate, key = ours.certify("gateway")
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    looked: list[bytes] = []
    load = ssl.SSLContext.load_cert_chain

    def looking(context: ssl.SSLContext, file: Path, **more: Any) -> None:
        looked.append(file.read_bytes())
        load(context, file, **more)

    async with raw_server(well, theirs.certify(HOST).context()) as server:
        monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", looking)
        await reaching(key).send(at(server, tls(theirs, certificate)), CALL, caller, None)
    assert [b"ENCRYPTED PRIVATE KEY" in one for one in looked] == [True]
    assert list(folder.iterdir()) == []
