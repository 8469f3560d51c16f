"""ID tokens and SAML assertions exchanged over HTTP: whose they are, whom they were given to, and how often."""

from __future__ import annotations

import base64
import time
from typing import TYPE_CHECKING, Any

import pytest

from authz.people import external
from authz.people.accounts import add_group, disable_person
from authz.tables import ClaimMapping, Client, Provider
from gateway.identity.equipment import owner_of
from registry.database import Concern
from tests.fakes.providers.openid import OpenIdProvider, listening
from tests.gateway.oauth.market import TYPE, Market, claims_of, error_of
from tests.idp_adapters.saml.house import ISSUER, Said, idp_metadata, sp_secret

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx2

    from authz.tables import Person

ID_TOKEN, SAML2 = f"{TYPE}id_token", f"{TYPE}saml2"
DESKTOP = "desktop-at-corp"


@pytest.fixture(scope="module")
def openid() -> Iterator[OpenIdProvider]:
    provider = OpenIdProvider()
    with listening(provider):
        yield provider


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory, openid: OpenIdProvider) -> Iterator[Market]:
    place = tmp_path_factory.mktemp("market")
    (place / "idp.xml").write_text(idp_metadata())
    with Market(place / "data", allow_addresses=(openid.origin,)) as opened:
        corp = {"issuer": openid.issuer, "client_id": "web", "accepted_clients": [DESKTOP, "phone"], "userinfo": False}
        with opened.office.database.change(Concern.PEOPLE) as session:
            session.add(Provider(slug="corp", kind="oidc", config=corp))
            opened.office.vault.seal(session, owner_of("corp"), "client_secret", b"canary-7f3a9-websecret")
            config = {"entity_id": ISSUER, "metadata_file": str(place / "idp.xml")}
            session.add(Provider(slug="saml", kind="saml", config=config))
            opened.office.vault.seal(session, owner_of("saml"), "sp_key", sp_secret())
            add_group(session, "developers")
            for provider in ("corp", "saml"):
                session.add(ClaimMapping(provider=provider, claim="groups", value="devs", group="developers"))
        opened.allow_group("developers", "notes.*")
        yield opened


@pytest.fixture(scope="module")
def desktop(market: Market) -> tuple[Client, str]:
    """A client of ours that the provider knows by its own name."""
    return bound(market, market.exchanger(), DESKTOP)


def bound(market: Market, client: tuple[Client, str], *ids: str) -> tuple[Client, str]:
    with market.office.database.change(Concern.PEOPLE) as session:
        session.get_one(Client, client[0].id).external_client_ids = list(ids)
    return client


def id_token(openid: OpenIdProvider, person: str = "alice", **claims: Any) -> str:
    said = openid.claims_of(person) | {"aud": DESKTOP, "groups": ["devs"], "preferred_username": person} | claims
    return openid.sign({name: value for name, value in said.items() if value is not None})


def known(market: Market, issuer: str, subject: str) -> Person | None:
    with market.office.database.read() as session:
        return external.find(session, issuer, subject)


def assertion(market: Market, person: str = "alice", **changes: Any) -> str:
    said = Said(person=person, audience=market.base, recipient=f"{market.base}/oauth/token", groups=("devs",))
    return base64.urlsafe_b64encode(said.but(**changes).signed_assertion().encode()).decode().rstrip("=")


def test_somebody_of_a_provider_uses_a_tool_through_their_own_client(
    market: Market, openid: OpenIdProvider, desktop: tuple[Client, str]
) -> None:
    given = market.exchanged(desktop, id_token(openid, "carol"), ID_TOKEN, scope="notes.add clock.now")
    person = known(market, openid.issuer, "sub-carol")
    assert person is not None
    claims = claims_of(given["access_token"])
    assert (claims["sub"], claims["client_id"], claims["scope"]) == (person.id, desktop[0].id, "notes.add")
    assert claims["exp"] - claims["iat"] <= 120
    assert market.tools(given["access_token"]) == {"notes_add"}
    record = next(line for line in market.records("token.exchanged") if line["jti"] == claims["jti"])
    assert (record["who"], record["provider"]) == ("user:carol@corp", "corp")


def test_an_agent_brings_somebodys_id_token_and_is_asked_about_too(market: Market, openid: OpenIdProvider) -> None:
    agent = bound(market, market.worker("notes.list"), "phone")
    claims = claims_of(market.exchanged(agent, id_token(openid, "dave", aud="phone"), ID_TOKEN)["access_token"])
    assert (claims["act"], claims["scope"]) == ({"sub": agent[0].id}, "notes.list")


def test_t_16_who_acts_by_somebodys_id_token_does_not_act_unseen(
    market: Market, openid: OpenIdProvider, desktop: tuple[Client, str]
) -> None:
    said = id_token(openid, "acted", act={"sub": "their-robot"})
    assert error_of(market.exchange(desktop, said, ID_TOKEN)) == (400, "invalid_request")
    assert known(market, openid.issuer, "sub-acted") is None


def test_t_17_an_id_token_for_another_client_says_nothing(
    market: Market, openid: OpenIdProvider, desktop: tuple[Client, str]
) -> None:
    stranger = market.exchanger()
    for client, token in (
        (stranger, id_token(openid, "erin")),
        (desktop, id_token(openid, "erin", aud="phone")),
        (desktop, id_token(openid, "erin", aud="web")),
        (desktop, id_token(openid, "erin", aud=[DESKTOP, "phone"], azp="phone")),
    ):
        refused(market.exchange(client, token, ID_TOKEN))
    assert known(market, openid.issuer, "sub-erin") is None


def test_t_17_a_bad_id_token_is_an_error(market: Market, openid: OpenIdProvider, desktop: tuple[Client, str]) -> None:
    now = int(time.time())
    other = OpenIdProvider()
    other.origin = openid.origin
    for token in (
        id_token(openid, exp=now - 3600, iat=now - 7200),
        id_token(openid, iss="https://elsewhere.example"),
        id_token(openid, iss=openid.issuer + "/"),
        id_token(openid, iss=None),
        id_token(openid, sub=None),
        id_token(other),
        id_token(openid) + "x",
    ):
        refused(market.exchange(desktop, token, ID_TOKEN))


def test_t_11_an_id_token_for_a_year_gives_no_longer_life(
    market: Market, openid: OpenIdProvider, desktop: tuple[Client, str]
) -> None:
    year = id_token(openid, exp=int(time.time()) + 365 * 86400)
    claims = claims_of(market.exchanged(desktop, year, ID_TOKEN, scope="notes.add")["access_token"])
    assert claims["exp"] - claims["iat"] <= 120


def test_whoever_is_disabled_is_not_brought_back(
    market: Market, openid: OpenIdProvider, desktop: tuple[Client, str]
) -> None:
    token = id_token(openid, "frank", iat=int(time.time()) - 5)
    assert market.exchanged(desktop, token, ID_TOKEN)
    for by in ("", "corp"):  # by an administrator, or because the provider said that they are gone
        with market.office.database.change(Concern.PEOPLE, Concern.CUTOFFS) as session:
            person = external.find(session, openid.issuer, "sub-frank")
            assert person is not None
            disable_person(session, person, time.time())
            person.disabled_by = by
        assert error_of(market.exchange(desktop, token, ID_TOKEN)) == (400, "invalid_grant")
    with market.office.database.change(Concern.PEOPLE) as session:
        again = external.find(session, openid.issuer, "sub-frank")
        assert again is not None
        again.disabled_at = None
    assert error_of(market.exchange(desktop, token, ID_TOKEN)) == (400, "invalid_grant")  # signed in before the end
    refreshed = id_token(openid, "frank", iat=int(time.time()) + 2, auth_time=int(time.time()) + 2)
    assert market.exchanged(desktop, refreshed, ID_TOKEN)


def test_an_older_word_of_a_provider_does_not_take_the_place_of_a_newer(
    market: Market, openid: OpenIdProvider, desktop: tuple[Client, str]
) -> None:
    now = int(time.time())
    older = id_token(openid, "grace", iat=now - 100, auth_time=now - 100)
    assert market.exchanged(desktop, older, ID_TOKEN)["scope"] == "notes.add notes.delete notes.list"
    newer = id_token(openid, "grace", iat=now, auth_time=now, groups=[])
    assert error_of(market.exchange(desktop, newer, ID_TOKEN)) == (400, "invalid_scope")
    assert error_of(market.exchange(desktop, older, ID_TOKEN)) == (400, "invalid_scope")


def test_a_provider_that_cannot_be_asked_is_said_to_be(
    market: Market, openid: OpenIdProvider, desktop: tuple[Client, str]
) -> None:
    with market.office.database.change(Concern.PEOPLE) as session:
        config = {"issuer": "http://127.0.0.1:1", "client_id": "web", "accepted_clients": [DESKTOP]}
        session.add(Provider(slug="down", kind="oidc", config=config))
        market.office.vault.seal(session, owner_of("down"), "client_secret", b"x")
    answer = market.exchange(desktop, id_token(openid, iss="http://127.0.0.1:1"), ID_TOKEN)
    assert error_of(answer) == (503, "temporarily_unavailable")


def test_nobody_is_asked_for_a_client_that_has_not_proved_itself(
    market: Market, openid: OpenIdProvider, desktop: tuple[Client, str]
) -> None:
    asked = len(openid.heard)
    assert error_of(market.exchange((desktop[0], "wrong"), id_token(openid), ID_TOKEN)) == (401, "invalid_client")
    plain = market.confidential()
    assert error_of(market.exchange(plain, id_token(openid), ID_TOKEN)) == (400, "unauthorized_client")
    assert len(openid.heard) == asked


@pytest.mark.servers  # the xmlsec1 program
def test_a_saml_assertion_is_exchanged_once(market: Market, desktop: tuple[Client, str]) -> None:
    brought = assertion(market, "heidi")
    given = market.exchanged(desktop, brought, SAML2, scope="notes.add")
    person = known(market, ISSUER, "heidi-for-good")
    assert person is not None
    assert claims_of(given["access_token"])["sub"] == person.id
    refused(market.exchange(desktop, brought, SAML2, scope="notes.add"))


@pytest.mark.servers  # the xmlsec1 program
def test_t_17_an_assertion_that_is_not_for_the_token_endpoint_is_an_error(
    market: Market, desktop: tuple[Client, str]
) -> None:
    callback = f"{market.base}/signin/saml/callback"
    for changes in (
        {"recipient": callback}, {"audience": f"{market.base}/signin/saml/metadata"}, {"issuer": "https://other.example"},
        {"signer": "mallory"}, {"sign_assertion": False},
    ):  # fmt: skip
        if changes.get("sign_assertion", True):
            refused(market.exchange(desktop, assertion(market, "ivan", **changes), SAML2))
        else:
            said = Said(
                person="ivan", audience=market.base, recipient=f"{market.base}/oauth/token", sign_assertion=False
            )
            refused(market.exchange(desktop, base64.urlsafe_b64encode(said.assertion().encode()).decode(), SAML2))
    assert known(market, ISSUER, "ivan-for-good") is None


def refused(answer: httpx2.Response) -> None:
    assert error_of(answer) == (400, "invalid_request")
    assert "access_token" not in answer.json()
