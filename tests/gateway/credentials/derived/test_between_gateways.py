"""One gateway in front of another: the first vouches for its people, the second is the authorization server."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from sqlmodel import select

from authz.clients.known import new_secret
from authz.tables import Client, Person, Provider
from authz.tokens.issuers import IssuerKind, add_issuer
from gateway.credentials import CredentialUnavailable
from gateway.egress.reply import Terms
from gateway.oauth.evidence import JWT_BEARER
from gateway.rendezvous.memory import MemoryRendezvous
from gateway.upstream import Ask
from gateway.upstream.connections import Servers
from registry.addresses import exception_line
from registry.database import Concern
from registry.secrets.vault import Vault
from registry.tables import Auth, Era
from tests.fakes.door import modern
from tests.gateway.credentials.derived.bench import Bench, as_principal, claims_of, token_of
from tests.gateway.oauth.house import House
from tests.gateway.oauth.market import Market

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import httpx2

    from registry.catalogue import Credential, Upstream


NOBODY: Any = None


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House(tmp_path_factory.mktemp("front")) as opened:
        yield opened


@pytest.fixture(scope="module")
def back(front: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    """It trusts the first with who its people are, and reads its keys there."""
    with Market(tmp_path_factory.mktemp("back"), allow_addresses=(exception_line(front.base),)) as opened:
        with opened.office.database.change(Concern.PEOPLE) as session:
            session.add(Provider(slug="front", kind="oidc", config={"issuer": front.base, "client_id": "none"}))
            add_issuer(session, front.base, IssuerKind.IDENTITY, keys_uri=f"{front.base}/oauth/jwks", provider="front")
        yield opened


@pytest.fixture(scope="module")
def ours(back: Market) -> tuple[Client, str]:
    """The first gateway as a client of the second: an agent that may bring identities."""
    secret, hashed = new_secret()
    client = Client(
        id="agt_front", handle="front", name="front", origin="agent", secret_hash=hashed, created_at=1,
        grant_types=["client_credentials", JWT_BEARER], auth_method="client_secret_basic",
    )  # fmt: skip
    return back.keep(client), secret


@pytest.fixture
def bench(front: House) -> Bench:
    return Bench(front.office)


@pytest.fixture
def server(bench: Bench, back: Market, ours: tuple[Client, str]) -> Upstream:
    bench.reach(back.base)
    settings = {"source": "ours", "issuer": back.base, "client_id": ours[0].id}
    return bench.server(Auth.ID_JAG, settings, back.resource, client_secret=ours[1].encode())


def asked(back: Market, credential: Credential) -> httpx2.Response:
    """As a call leaves the first: its token, and a proof of the key that the second has bound it to."""
    assert credential.sign is not None
    own, body = modern("", "tools/list")
    head = f"POST /mcp HTTP/1.1\r\nHost: {urlsplit(back.base).netloc}\r\n".encode()
    signed = credential.sign(head, body).decode().strip().split("\r\n")
    with back.http() as http:
        return http.post("/mcp", content=body, headers=dict(own[1:]) | dict(line.split(": ", 1) for line in signed))


def tools(back: Market, credential: Credential) -> set[str]:
    return {tool["name"] for tool in asked(back, credential).json()["result"]["tools"]}


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.05)


def test_whoever_asks_at_the_first_is_that_person_at_the_second(
    bench: Bench, server: Upstream, front: House, back: Market, ours: tuple[Client, str]
) -> None:
    ann, bob = front.person("ann"), front.person("bob")

    held = [bench.obtain(server, as_principal(person)) for person in (ann, bob)]
    tokens = [token_of(credential) for credential in held]
    with back.office.database.read() as session:
        there = session.exec(select(Person).where(Person.handle == "ann@front")).one()
    back.allow(there, "notes.add")
    assert tools(back, held[0]) == set(), "the first acts for her, and is asked about as well"
    back.allow(ours[0], "notes.*")

    until(lambda: tools(back, held[0]) == {"notes_add"})
    assert tools(back, held[1]) == set()
    assert {back.call(token) for token in tokens} == {401}  # without the key
    labels = {member.label for member in back.members().values()}
    assert {"user:ann@front", "user:bob@front"} <= labels
    assert len({claims_of(token)["sub"] for token in tokens}) == 2
    assert all(claims_of(token)["aud"] == back.resource for token in tokens)
    issued = back.records("token.issued")[-2:]
    assert [record["who"] for record in issued] == ["user:ann@front", "user:bob@front"]


def test_the_first_itself_reads_as_the_agent_that_it_is_there(bench: Bench, server: Upstream, back: Market) -> None:
    credential = bench.obtain(server, None, "")

    assert claims_of(token_of(credential))["sub"] == "agt_front"
    assert asked(back, credential).status_code == 200


@pytest.mark.parametrize("era", Era)
async def test_calls_of_either_era_prove_the_key_over_the_real_way_out(
    bench: Bench, server: Upstream, front: House, back: Market, era: Era
) -> None:
    version = "2026-07-28" if era is Era.MODERN else "2025-11-25"
    reached = replace(server, era=era, protocol_version=version, address_exception=True)
    person = as_principal(front.person(f"cat-{era}"))
    held = bench.obtain(server, person)
    servers = Servers(Vault({"1": b"v" * 32}), MemoryRendezvous(), Terms(5, 10, 2**20), 2**24)
    try:
        for _ in range(3):
            answer = await servers.send(reached, Ask(method="tools/list", principal=person), NOBODY, held)
            assert b'"tools"' in answer.result
    finally:
        await servers.close()


def test_an_assertion_that_the_second_does_not_believe_gives_nothing(
    bench: Bench, server: Upstream, front: House, back: Market
) -> None:
    """Another secret, as after a mix-up: nobody is let in, and the words are ours."""
    wrong = bench.server(Auth.ID_JAG, server.auth_settings.model_dump(), back.resource, client_secret=b"another")
    with pytest.raises(CredentialUnavailable, match="An administrator has to look"):
        bench.obtain(wrong, as_principal(front.person("eve")))
    assert "user:eve@front" not in {record["who"] for record in back.records("token.issued")}
