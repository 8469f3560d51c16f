"""Tokens that we sign for servers and services, in the hands of one of those who got them; and sign-ins that ended."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Any

import pytest
from sqlmodel import select

from authz import jose
from authz.people.accounts import disable_person
from authz.tables import Client, ForeignSession, Person
from authz.tokens.assertions import ID_JAG
from authz.tokens.issuers import IssuerKind, add_issuer, add_rule
from authz.tokens.minting import TYP
from gateway.credentials import Asked, ConnectionNeeded
from gateway.credentials.derived import signing
from gateway.oauth.evidence import CLIENT_ASSERTION, JWT_BEARER
from registry.database import Concern
from registry.tables import Auth
from tests.fakes.providers.openid import OpenIdProvider, listening
from tests.gateway.credentials.derived.bench import Bench, as_principal, bench, claims_of, token_of, upstream, who
from tests.gateway.credentials.derived.company import join, sign_in
from tests.gateway.oauth.market import ACCESS_TOKEN, TYPE, Market, error_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


KNOWN = "cl_known"  # to the data plane from the start


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    closed = Market(tmp_path_factory.mktemp("market"))
    closed.keep(Client(id=KNOWN, name="An app", origin="registered", created_at=1))
    with closed as opened:
        yield opened


@pytest.fixture
def careless(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the check of audiences were gone: the others have to hold alone."""
    monkeypatch.setattr(signing, "check_audience", lambda *_: None)


def signed(market: Market, person: Person, audience: str, typ: str = TYP, **claims: Any) -> str:
    """What a server gets, but for an audience of our own, and in the name of a client that is known here."""
    asked = Asked(upstream=upstream(Auth.MINTED, {}), principal=as_principal(person, "helper"), object="notes.add")
    known = {"scope": "mcp", "client_id": KNOWN, "act": None}
    said = signing.Statement(audience=audience, typ=typ, life=120, claims=known | claims)
    return signing.sign(Bench(market.office).equipment, asked, said).token


def test_t_16_an_agent_is_named_to_the_server_and_cannot_be_left_out(tmp_path: Path) -> None:
    with bench(tmp_path) as opened:
        server = opened.server(Auth.MINTED, {})
        own, delegated = (opened.obtain(server, them) for them in (who("ann"), who("ann", "helper")))

    assert "act" not in claims_of(token_of(own))
    assert claims_of(token_of(delegated))["act"] == {"sub": "usr_agent:helper"}
    assert own.account != delegated.account


@pytest.mark.usefixtures("careless")
@pytest.mark.parametrize("path", ["/mcp", "/servers/notes/mcp"])
@pytest.mark.parametrize("typ", [TYP, "JWT", ID_JAG])
def test_t_18_a_token_for_a_server_opens_none_of_our_doors_whatever_its_audience(
    market: Market, typ: str, path: str
) -> None:
    person = market.allowed("notes.*")
    token = signed(market, person, f"{market.base}{path}", typ)
    jose.verify_foreign(token, market.world.snapshots.current.keys.published(time.time())["keys"], ["ES256"])

    assert market.call(token, path) == 401


@pytest.mark.usefixtures("careless")
@pytest.mark.parametrize("kind", [ACCESS_TOKEN, f"{TYPE}jwt", f"{TYPE}id_token"])
@pytest.mark.parametrize("typ", [TYP, "JWT"])
def test_t_18_a_token_for_a_server_is_exchanged_for_nothing(market: Market, kind: str, typ: str) -> None:
    person, agent = market.allowed("notes.*"), market.worker("notes.*")
    for audience in (market.resource, f"{market.base}/oauth/token", market.base):
        token = signed(market, person, audience, typ)
        assert error_of(market.exchange(agent, token, kind)) == (400, "invalid_request")
        own = market.token_as(agent)
        as_actor = market.exchange(agent, own, actor_token=token, actor_token_type=kind)
        assert error_of(as_actor) == (400, "invalid_request")


@pytest.mark.usefixtures("careless")
@pytest.mark.parametrize("typ", [TYP, ID_JAG, "JWT"])
def test_t_18_a_token_for_a_server_proves_no_client_and_is_no_grant(market: Market, typ: str) -> None:
    person, agent = market.allowed("notes.*"), market.worker("notes.*")
    endpoint = f"{market.base}/oauth/token"
    token = signed(market, person, endpoint, typ)

    as_grant = market.token({"grant_type": JWT_BEARER, "assertion": token})
    said = {"client_assertion_type": CLIENT_ASSERTION, "client_assertion": token, "client_id": agent[0].id}
    as_client = market.token({"grant_type": "client_credentials"} | said)

    assert error_of(as_grant) == (400, "invalid_grant")
    assert as_client.status_code == 401


def test_t_18_a_server_cannot_use_what_it_got_at_another_installation_that_trusts_us(tmp_path: Path) -> None:
    """Ours would be a workload's token there, if anybody's were: but it says that it is an access token."""
    with Market(tmp_path / "other") as other, bench(tmp_path / "ours") as opened:
        agent, _ = other.worker("notes.*")
        with other.office.database.change() as session:
            add_issuer(session, opened.base, IssuerKind.WORKLOAD, keys=opened.jwks)
            add_rule(session, opened.base, {"sub": "usr_user:ann"}, agent.id)
        minted = token_of(
            opened.obtain(opened.server(Auth.MINTED, {"audience": f"{other.base}/oauth/token"}), who("ann"))
        )

        assert error_of(other.token({"grant_type": JWT_BEARER, "assertion": minted})) == (400, "invalid_grant")
        assert other.call(minted) == 401


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Bench]:
    with bench(tmp_path) as made:
        yield made


@pytest.fixture
def company(opened: Bench) -> Iterator[OpenIdProvider]:
    provider = OpenIdProvider("RS256")
    with listening(provider):
        join(opened, provider)
        yield provider


def lending(opened: Bench, provider: OpenIdProvider) -> Any:
    """Its people's ID tokens are exchanged at a service that nobody needs to reach here."""
    told = {"token_endpoint": f"{provider.origin}/sts", "client_auth": "none", "client_id": "us"}
    return opened.server(Auth.TOKEN_EXCHANGE, told | {"subject": "identity", "provider": "corp"})


def test_t_20_nothing_is_borrowed_from_the_sign_in_of_somebody_who_was_disabled(
    opened: Bench, company: OpenIdProvider
) -> None:
    person, _ = sign_in(opened, company)
    with opened.office.database.change(Concern.PEOPLE, Concern.CUTOFFS) as session:
        disable_person(session, session.get_one(Person, person.id), time.time())

    with pytest.raises(ConnectionNeeded):
        opened.obtain(lending(opened, company), as_principal(person))
    assert not company.asked("/sts")


def test_t_92_a_sign_in_that_was_moved_to_another_person_is_borrowed_by_nobody(
    opened: Bench, company: OpenIdProvider
) -> None:
    alice, _ = sign_in(opened, company, "alice")
    bob, _ = sign_in(opened, company, "bob")
    with opened.office.database.change() as session:
        rows = {row.person: row for row in session.exec(select(ForeignSession))}
        rows[bob.id].keep = rows[alice.id].keep

    with pytest.raises(ConnectionNeeded):
        opened.obtain(lending(opened, company), as_principal(bob))
    assert not company.asked("/sts")


def test_t_92_a_sign_in_with_a_bit_flipped_is_borrowed_by_nobody(opened: Bench, company: OpenIdProvider) -> None:
    person, _ = sign_in(opened, company)
    with opened.office.database.change() as session:
        (row,) = session.exec(select(ForeignSession))
        at = secrets.randbelow(len(row.keep))
        row.keep = row.keep[:at] + bytes([row.keep[at] ^ 1]) + row.keep[at + 1 :]

    with pytest.raises(ConnectionNeeded):
        opened.obtain(lending(opened, company), as_principal(person))
