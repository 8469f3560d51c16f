"""Fetching documents from addresses that others name."""

import asyncio
import socket
import ssl
import threading
import time

import pytest

from gateway.fetch import Fetcher, FetchFailed
from idp_adapters.contract import HttpAnswer
from registry.errors import AddressRefused
from tests.fakes.network.certificates import Authority, make_certificate
from tests.fakes.servers.raw import Asked, RawServer, http, raw_server


async def document(asked: Asked, writer: asyncio.StreamWriter) -> bytes:
    return http(b'{"a":1}', extra="X-Thing: y\r\n")


async def fetch(server: RawServer, *, limit: int = 1000, timeout: float = 5.0, url: str = "") -> HttpAnswer:  # noqa: ASYNC109
    fetcher = Fetcher([f"http://127.0.0.1:{server.port}"])
    return await asyncio.to_thread(fetcher.get, url or server.url, limit=limit, timeout=timeout)


async def test_a_document_comes_with_its_status_and_headers():
    async with raw_server(document) as server:
        found = await fetch(server)
        assert (found.status, found.body, found.headers["x-thing"]) == (200, b'{"a":1}', "y")
        assert server.asked[0].headers["accept-encoding"] == "identity"
        assert "cookie" not in server.asked[0].headers


async def test_an_error_status_is_an_answer():
    async def missing(asked: Asked, writer: asyncio.StreamWriter) -> bytes:
        return http(b"gone", "404 Not Found")

    async with raw_server(missing) as server:
        assert (await fetch(server)).status == 404


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(status):
    async with raw_server(document) as other:

        async def away(asked: Asked, writer: asyncio.StreamWriter) -> bytes:
            return http(b"", f"{status} Moved", extra=f"Location: {other.url}/moved-here\r\n")

        async with raw_server(away) as server:
            with pytest.raises(FetchFailed, match="redirects"):
                await fetch(server)
        assert not [asked for asked in other.asked if "moved-here" in asked.line]


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1/",
        "https://127.0.0.1/",
        "https://169.254.169.254/x",
        "https://localhost/",
        "file:///etc/passwd",
    ],
)
async def test_an_address_that_is_not_allowed_is_not_connected_to(url):
    async with raw_server(document) as server:
        with pytest.raises(AddressRefused):
            await fetch(server, url=url)


def resolving(*answers: list[str]):
    """Names lead there, in this order; a number is what it says."""
    remaining, real = iter(answers), socket.getaddrinfo

    def getaddrinfo(host: str, port: int, *more: int, **named: int) -> list[tuple]:
        if host[0].isdigit():
            return real(host, port, *more, **named)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port)) for ip in next(remaining)]

    return getaddrinfo


async def test_one_private_address_among_public_ones_is_enough_to_refuse(monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", resolving(["203.1.113.1", "10.0.0.1"]))
    with pytest.raises(AddressRefused):
        await asyncio.to_thread(Fetcher([]).get, "https://client.example/", limit=10, timeout=1)


async def test_the_name_is_resolved_once_and_checked_by_tls(monkeypatch, tmp_path):
    trusted, tls = make_certificate(tmp_path, "client.example")
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    real = socket.getaddrinfo
    async with raw_server(document, tls) as server:
        for host, good in (("client.example", True), ("other.example", False)):
            # A second look at the name would find nothing left to answer.
            monkeypatch.setattr(socket, "getaddrinfo", real)
            monkeypatch.setattr(socket, "getaddrinfo", resolving(["127.0.0.1"]))
            origin = f"https://{host}:{server.port}"
            fetching = asyncio.to_thread(Fetcher([origin]).get, f"{origin}/c.json", limit=100, timeout=20)
            if good:
                assert (await fetching).body == b'{"a":1}'
                continue
            with pytest.raises(FetchFailed):
                await fetching
    assert [asked.line for asked in server.asked] == ["GET /c.json HTTP/1.1"]


async def test_an_origin_with_authorities_of_its_own_is_held_to_them_and_no_other_is(tmp_path):
    ours, theirs = Authority(tmp_path, "ours"), Authority(tmp_path, "theirs")
    async with (
        raw_server(document, ours.certify("localhost").context()) as one,
        raw_server(document, ours.certify("localhost").context()) as other,
        raw_server(document, theirs.certify("localhost").context()) as stranger,
    ):
        origins = [f"https://localhost:{server.port}" for server in (one, other, stranger)]
        how = ("ours", lambda: ssl.create_default_context(cafile=ours.certificate))
        own = dict.fromkeys((origins[0], origins[2]), how)
        fetcher = Fetcher(origins, own=own)
        answer = await asyncio.to_thread(fetcher.get, f"{origins[0]}/c.json", limit=100, timeout=20)
        assert answer.body == b'{"a":1}'
        for origin in origins[1:]:
            with pytest.raises(FetchFailed, match="does not hold"):
                await asyncio.to_thread(fetcher.get, f"{origin}/c.json", limit=100, timeout=20)


async def test_a_proxy_of_the_environment_is_not_used(monkeypatch):
    async with raw_server(document) as proxy, raw_server(document) as server:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        await fetch(server)
        assert not proxy.asked


async def test_a_document_larger_than_allowed_is_cut():
    async def large(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"x" * 65536)
            await writer.drain()

    async with raw_server(large) as server:
        with pytest.raises(FetchFailed, match="larger"):
            await fetch(server)


async def test_an_encoded_document_is_refused():
    async def zipped(asked: Asked, writer: asyncio.StreamWriter) -> bytes:
        return http(b"x", extra="Content-Encoding: gzip\r\n")

    async with raw_server(zipped) as server:
        with pytest.raises(FetchFailed, match="encoded"):
            await fetch(server)


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"])
async def test_bytes_that_drip_do_not_hold_a_thread(head):
    """Each byte comes within any pause that a timeout per read would allow."""

    async def dripping(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        for letter in (head and b"x" * 1000) or b"HTTP/1.1 200 OK\r\nX-A: " + b"x" * 1000:
            writer.write(bytes([letter]))
            await writer.drain()
            await asyncio.sleep(0.02)

    async with raw_server(dripping) as server:
        started = time.monotonic()
        with pytest.raises(FetchFailed):
            await fetch(server, limit=10_000, timeout=0.3)
        assert time.monotonic() - started < 10


async def test_a_fetcher_is_shared_between_threads():
    async with raw_server(document) as server:
        fetcher = Fetcher([f"http://127.0.0.1:{server.port}"])
        gets = [asyncio.to_thread(fetcher.get, server.url, limit=100, timeout=20) for _ in range(8)]
        assert {found.body for found in await asyncio.gather(*gets)} == {b'{"a":1}'}
        assert threading.active_count() < 100


async def test_a_server_that_is_not_there_is_named():
    async with raw_server(document) as server:
        pass
    with pytest.raises(FetchFailed, match=f"http://127.0.0.1:{server.port}"):
        await fetch(server)


async def test_a_body_is_sent_with_its_headers():
    async with raw_server(document) as server:
        fetcher = Fetcher([f"http://127.0.0.1:{server.port}"])
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "text/plain"}
        send = asyncio.to_thread(
            fetcher.send, "POST", server.url, headers=headers, body=b"grant_type=x", limit=99, timeout=5
        )
        assert (await send).status == 200
        asked = server.asked[0]
        assert (asked.line.split()[0], asked.body) == ("POST", b"grant_type=x")
        assert asked.headers["content-type"] == "application/x-www-form-urlencoded"
        assert asked.headers["accept"] == "text/plain"


def test_an_authority_of_ones_own_is_trusted_when_it_is_named_and_what_is_wrong_is_said(tmp_path):
    with pytest.raises(FetchFailed, match="ca_file"):
        Fetcher([], tmp_path / "nothing.pem").get("https://x.example/", limit=9, timeout=1)
