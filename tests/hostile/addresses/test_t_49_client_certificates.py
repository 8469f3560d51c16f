"""T-49: our certificate for one server is shown to that server alone, whatever another one says or shares with it."""

from __future__ import annotations

import ssl
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest

from gateway.egress.reply import Terms
from gateway.rendezvous.memory import MemoryRendezvous
from gateway.upstream import Ask, UpstreamError
from gateway.upstream.connections import Servers
from registry.credentials.tls import Tls
from registry.secrets.vault import Vault
from registry.tables import Era
from tests.fakes.network.certificates import Authority
from tests.fakes.servers.raw import Asked, http, raw_server, result

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator
    from pathlib import Path

    from registry.catalogue import Upstream
    from tests.fakes.servers.raw import RawServer

HOST = "localhost"
CALL = Ask(method="tools/call", params={"name": b'"t"'}, principal=None)


class Nobody:
    async def notify(self, method: str, params: bytes) -> None:
        pass

    async def request(self, method: str, params: bytes) -> bytes:
        raise AssertionError("nobody may be asked")


class Looking:
    """Shows which certificate each request came with."""

    def __init__(self, answer: bytes = b"") -> None:
        self.shown: list[str] = []
        self._answer = answer

    async def __call__(self, asked: Asked, writer: asyncio.StreamWriter) -> bytes:
        subject = (writer.get_extra_info("peercert") or {}).get("subject", ())
        self.shown.append("".join(value for ((_, value),) in subject))
        return self._answer or http(result(asked))


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def keys(authority: Authority) -> dict[str, tuple[str, bytes]]:
    """By server: the certificate that we have for it, and its key."""
    made = {}
    for slug in ("one", "other"):
        certificate, key = authority.certify(f"gateway-at-{slug}")
        made[slug] = (certificate.read_text(), key.read_bytes())
    return made


@pytest.fixture
async def servers(keys: dict[str, tuple[str, bytes]]) -> AsyncIterator[Servers]:
    rendezvous, terms = MemoryRendezvous(), Terms(5.0, 10.0, 2**20)
    opened = Servers(Vault({"1": b"v" * 32}), rendezvous, terms, 2**24, keys=lambda slug: keys[slug][1])
    yield opened
    await opened.close()


def at(server: RawServer, slug: str, authority: Authority, certificate: str) -> Upstream:
    pem = authority.certificate.read_text()
    tls = Tls(certificate=certificate, authorities=pem, digest=sha256((certificate + pem).encode()).hexdigest())
    return server.upstream(Era.MODERN, host=HOST, scheme="https", slug=slug, tls=tls)


async def test_t_49_servers_of_one_origin_are_each_shown_their_own_certificate_or_none(servers, authority, keys):
    looking = Looking()
    tls = authority.certify(HOST).context()
    tls.load_verify_locations(authority.certificate)
    tls.verify_mode = ssl.CERT_OPTIONAL
    async with raw_server(looking, tls) as server:
        for slug in ("one", "other", "none", "one"):
            certificate = keys[slug][0] if slug in keys else ""
            await servers.send(at(server, slug, authority, certificate), CALL, Nobody(), None)
        assert looking.shown == ["gateway-at-one", "gateway-at-other", "", "gateway-at-one"]
        assert server.connections == 3


async def test_t_49_a_redirect_takes_no_certificate_along(servers, authority, keys):
    elsewhere: list[Any] = []

    async def never(asked: Asked, writer: asyncio.StreamWriter) -> bytes:
        elsewhere.append(asked)
        return http(b"{}")

    async with raw_server(never, authority.certify(HOST).context(authority)) as other:
        away = http(b"", "307 Moved", extra=f"Location: https://{HOST}:{other.port}/mcp\r\n")
        async with raw_server(Looking(away), authority.certify(HOST).context(authority)) as server:
            with pytest.raises(UpstreamError):
                await servers.send(at(server, "one", authority, keys["one"][0]), CALL, Nobody(), None)
        assert other.connections == 0
    assert elsewhere == []
