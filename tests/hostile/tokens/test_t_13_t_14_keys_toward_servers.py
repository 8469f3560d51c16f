"""T-13, T-14, T-49, T-91: a token of ours that is bound to a key is worth nothing to whoever has it and not the key."""

from __future__ import annotations

import base64
import http.client
import sqlite3
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from gateway.credentials.kept import Kept
from gateway.credentials.oauth.asking.possession import fresh
from gateway.credentials.oauth.asking.renewing import renew
from gateway.egress.reply import Terms
from gateway.rendezvous.memory import MemoryRendezvous
from gateway.upstream import Ask, UpstreamError
from gateway.upstream.connections import Servers
from registry.secrets.vault import Vault
from registry.tables import Auth
from tests.fakes.servers.demanding import Demanding
from tests.fakes.servers.raw import principal, raw_server
from tests.fakes.servers.upstream_oauth import serving
from tests.gateway.credentials.oauth.settled import settled
from tests.hostile.canaries import everything_in

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator
    from pathlib import Path

    from registry.catalogue import Credential, Upstream
    from tests.fakes.providers.openid import Heard
    from tests.fakes.servers.raw import Asked
    from tests.gateway.credentials.oauth.settled import Settled

NOBODY: Any = None


@pytest.fixture
def fake() -> Iterator[Demanding]:
    with serving(Demanding(nonces=True)) as made:
        yield made


@pytest.fixture
def office(tmp_path: Path, fake: Demanding) -> Iterator[Settled]:
    with settled(tmp_path / "data", fake.origin) as made:
        yield made


async def called(office: Settled, fake: Demanding) -> tuple[Upstream, Credential, Heard]:
    """A person has connected, and called once; with what the server heard then."""
    upstream = office.server(fake.url)
    office.connect(fake, upstream)
    held = Kept(office.equipment).obtain(office.asked(upstream)).credential
    servers = Servers(Vault({"1": b"v" * 32}), MemoryRendezvous(), Terms(5, 5, 2**20), 2**24)
    ask = Ask(method="tools/call", name="whoami", params={"name": b'"whoami"'}, principal=principal("usr_alice"))
    await servers.send(upstream, ask, NOBODY, held)
    await servers.close()
    assert fake.calls == [("whoami", "usr_alice")]
    fake.refused.clear()
    return upstream, held, fake.asked("/mcp")[-1]


def sent(fake: Demanding, heard: Heard, **changes: str | None) -> int:
    """The thief's own request: the one that was overheard, with changes."""
    parts = urlsplit(fake.url)
    headers = {name: value for name, value in (heard.headers | changes).items() if value is not None}
    body = headers.pop("body", heard.body.decode())
    connection = http.client.HTTPConnection(parts.netloc, timeout=20)
    connection.request("POST", parts.path, body.encode(), headers | {"content-length": str(len(body))})
    status = connection.getresponse().status
    connection.close()
    return status


async def test_t_14_a_request_that_was_overheard_cannot_be_sent_again(office: Settled, fake: Demanding) -> None:
    _, _, heard = await called(office, fake)
    assert sent(fake, heard) == 401
    assert fake.refused == ["jti"]
    assert len(fake.calls) == 1


async def test_t_14_nor_with_another_content(office: Settled, fake: Demanding) -> None:
    _, _, heard = await called(office, fake)
    assert sent(fake, heard, body=heard.body.decode().replace("whoami", "write")) == 401
    assert fake.refused == ["content_digest"]


async def test_t_13_a_stolen_token_is_refused_without_its_key(office: Settled, fake: Demanding) -> None:
    _, held, heard = await called(office, fake)
    token = held.value.removeprefix(b"DPoP ")
    thief = fresh(office.equipment)
    thief.keep(fake.origin, fake.nonces["mcp"])
    own = thief.proof("POST", fake.url, fake.origin, token=token, body=heard.body)
    elsewhere = thief.proof("POST", f"{fake.origin}/other", fake.origin, token=token, body=heard.body)
    unnamed = thief.proof("POST", fake.url, fake.origin)
    bearer = f"Bearer {token.decode()}"
    for changes in (
        {"authorization": bearer}, {"authorization": bearer, "dpop": None}, {"dpop": None}, {"dpop": own},
        {"dpop": elsewhere}, {"dpop": unnamed}, {"dpop": f"{own},{own}"}, {"dpop": "x.y.z"},
    ):  # fmt: skip
        assert sent(fake, heard, **changes) == 401
    assert fake.refused == ["scheme", "form", "form", "key", "htu", "ath", "form", "form"]
    assert len(fake.calls) == 1


async def test_t_13_nor_is_it_renewed_by_whoever_has_the_refresh_token(office: Settled, fake: Demanding) -> None:
    upstream, _, _ = await called(office, fake)
    kept = office.tokens()
    stolen = fake.refreshes[kept.refresh]
    form = f"grant_type=refresh_token&refresh_token={kept.refresh}&client_id={stolen.client}"
    parts = urlsplit(fake.issuer)
    connection = http.client.HTTPConnection(parts.netloc, timeout=20)
    connection.request("POST", "/token", form, {"content-type": "application/x-www-form-urlencoded"})
    assert connection.getresponse().status == 400
    connection.close()
    assert renew(office.equipment, upstream, office.connection(), kept).refresh in fake.refreshes


async def test_t_49_a_proof_goes_to_no_other_origin_than_the_registered_one(office: Settled, fake: Demanding) -> None:
    async def respond(asked: Asked, writer: asyncio.StreamWriter) -> bytes:
        raise AssertionError("nothing arrives")

    _, held, _ = await called(office, fake)
    servers = Servers(Vault({"1": b"v" * 32}), MemoryRendezvous(), Terms(5, 5, 2**20), 2**24)
    async with raw_server(respond) as server:
        moved = server.upstream(slug="notes", auth=Auth.OAUTH_PERSON)
        with pytest.raises(UpstreamError):
            await servers.send(moved, Ask(method="tools/call", principal=principal("usr_alice")), NOBODY, held)
        assert server.asked == []
    await servers.close()


async def test_t_91_the_key_is_in_no_stolen_dump(
    office: Settled, fake: Demanding, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _, held, _ = await called(office, fake)
    key = office.tokens().key
    with sqlite3.connect(tmp_path / "data" / "ostiary.db") as database:
        (tmp_path / "data" / "dump.sql").write_text("\n".join(database.iterdump()))
    database.close()
    everything = everything_in(tmp_path / "data", but=("keys",)) + caplog.text.encode() + repr(held).encode()
    scalar = key[key.index(b"\x04\x20") + 2 :][:32]
    assert len(scalar) == 32
    for form in (key, base64.b64encode(key), scalar, scalar.hex().encode(), base64.urlsafe_b64encode(scalar)[:-1]):
        assert form not in everything
    assert b"connection.connected" in everything


async def test_t_14_an_old_proof_is_of_no_use_later(office: Settled, fake: Demanding) -> None:
    _, held, heard = await called(office, fake)
    token = held.value.removeprefix(b"DPoP ")
    holder = held.sign.__self__.holder  # what only we have
    unused = holder.proof("POST", fake.url, fake.origin, token=token, body=heard.body)
    fake.ahead = 600
    assert sent(fake, heard, dpop=unused) == 401
    assert fake.refused == ["iat"]
