"""T-56: a provider speaks for its own people: not for those of another, and not for those of one that is gone."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from sqlmodel import select

from authz.errors import SignInRefused
from authz.people import external
from authz.people.provisioning import make_token
from authz.tables import Person, Provider, ScimResource, TrustedIssuer
from authz.tokens.issuers import IssuerKind, add_issuer
from gateway.cli import main
from idp_adapters.contract import GROUPS, ExternalIdentity
from registry.database import Concern
from tests.fakes.providers.issuers import Signer
from tests.gateway.oauth.grants.test_assertions import app, jag, present
from tests.gateway.scim.conftest import USER, Client, client, issuer

if TYPE_CHECKING:
    import httpx2

    from tests.gateway.oauth.house import House


def run(house: House, *words: str) -> None:
    result = CliRunner().invoke(main, [*words, "--data", str(house.settings.data)])
    assert result.exit_code == 0, result.output


def provider(house: House, slug: str, iss: str) -> Client:
    """A provider, and its SCIM client."""
    with house.office.database.change(Concern.PEOPLE) as session:
        row = Provider(slug=slug, kind="oidc", config={"issuer": iss, "client_id": slug}, created_at=time.time())
        session.add(row)
        session.flush()
        _, token = make_token(session, row, 30, time.time())
    return Client(house, slug, token)


def signs_in(house: House, slug: str, iss: str, subject: str, *groups: str) -> Person:
    identity = ExternalIdentity(
        issuer=iss, subject=subject, login=subject, authenticated_at=1, claims={GROUPS: frozenset(groups)}
    )
    with house.office.database.change(Concern.PEOPLE) as session:
        return external.admit(session, slug, identity, time.time(), 3600)


def stored(house: House, person: Person) -> Person:
    with house.office.database.read() as session:
        return session.get_one(Person, person.id)


def vouched(house: House, signer: Signer, iss: str, subject: str, **claims: Any) -> httpx2.Response:
    """What the issuer says of somebody, brought by a client of ours."""
    known, secret = app(house)
    return present(house, jag(house, signer, known, iss=iss, sub=subject, **claims), (known.id, secret))


def trusted(house: House, slug: str, iss: str) -> Signer:
    signer = Signer("k1")
    with house.office.database.change() as session:
        add_issuer(session, iss, IssuerKind.IDENTITY, keys=signer.jwks, provider=slug)
    return signer


def test_t_56_a_scim_client_ends_nobody_whom_another_provider_with_the_same_issuer_knows(house: House) -> None:
    """One issuer, two registrations: as an accounts service for everybody has them, one for each domain."""
    provider(house, "one", "https://shared.example")
    other = provider(house, "two", "https://shared.example")
    victim = signs_in(house, "one", "https://shared.example", "victim")

    for said in ({"active": False}, {"active": True, "displayName": "Mallory"}):
        answer = other.ask("POST", "/Users", {"schemas": [USER], "userName": "m", "externalId": "victim", **said})
        assert (answer.status_code, answer.json()["scimType"]) == (400, "invalidValue")

    mine = other.user("mine")
    moved = other.patch(f"/Users/{mine['id']}", {"op": "replace", "path": "externalId", "value": "victim"})
    assert moved.status_code == 400
    assert (stored(house, victim).disabled_at, stored(house, victim).name) == (None, "victim")


def test_t_56_an_issuer_speaks_of_its_own_providers_people_alone(house: House) -> None:
    provider(house, "theirs", "https://theirs.example")
    provider(house, "ours", "https://ours.example")
    signs_in(house, "theirs", "https://theirs.example", "victim")
    signer = trusted(house, "ours", "https://theirs.example")

    assert vouched(house, signer, "https://theirs.example", "victim").json()["error"] == "invalid_grant"


@pytest.mark.parametrize("verb", ["disable", "remove"])
def test_t_56_nobody_new_comes_by_the_issuer_of_a_provider_that_is_off(house: House, verb: str) -> None:
    slug, iss = f"off-{verb}", f"https://{verb}.example"
    provider(house, slug, iss)
    signer = trusted(house, slug, iss)
    assert vouched(house, signer, iss, "early").status_code == 200

    run(house, "idp", verb, slug)

    assert vouched(house, signer, iss, "early").json()["error"] == "invalid_grant"
    assert vouched(house, signer, iss, "late").json()["error"] == "invalid_grant"
    with house.office.database.read() as session:
        assert external.find(session, iss, "late") is None


def test_t_56_a_provider_of_an_old_name_has_nothing_of_the_one_that_was_called_so(house: House) -> None:
    old = client(house, "corp")
    old.map("devs", "developers")
    wim = old.user("wim")
    old.group("devs", wim)
    person = old.person(wim)
    trusted(house, "corp", issuer("corp"))
    assert old.groups(wim) == {"developers"}

    run(house, "idp", "remove", "corp")
    provider(house, "corp", "https://another.example")

    assert old.ask("GET", "/Users").status_code == 401, "the token was the old one's"
    with house.office.database.read() as session:
        assert session.exec(select(ScimResource).where(ScimResource.provider == "corp")).all() == []
        assert session.exec(select(TrustedIssuer).where(TrustedIssuer.provider == "corp")).all() == []
    again = signs_in(house, "corp", issuer("corp"), "x-wim")
    assert (again.id, again.handle) == (person.id, "wim@corp"), "the same issuer and subject are the same person"
    assert house.members()[person.id].groups == {}


def test_t_56_groups_that_a_provider_keeps_here_go_with_their_mapping(house: House) -> None:
    kept = provider(house, "kept", issuer("kept"))
    kept.map("ops", "operators")
    zoe = kept.user("zoe")
    kept.group("ops", zoe)
    assert kept.groups(zoe) == {"operators"}

    run(house, "idp", "unmap", "kept", "groups", "ops", "operators")

    assert kept.groups(zoe) == set()


def test_t_56_no_provider_brings_back_whom_an_administrator_disabled(house: House) -> None:
    """Whatever had ended them before."""
    kept = provider(house, "back", issuer("back"))
    amy, bo = signs_in(house, "back", issuer("back"), "amy"), kept.user("bo")
    run(house, "idp", "disable", "back")
    run(house, "user", "disable", amy.handle)
    run(house, "idp", "enable", "back")
    kept.patch(f"/Users/{bo['id']}", {"op": "replace", "path": "active", "value": False})
    run(house, "user", "enable", "bo@back")
    run(house, "user", "disable", "bo@back")

    kept.patch(f"/Users/{bo['id']}", {"op": "replace", "path": "active", "value": True})
    for subject in ("amy", "x-bo"):
        with pytest.raises(SignInRefused) as refused:
            signs_in(house, "back", issuer("back"), subject)
        assert refused.value.reason == "disabled"

    run(house, "user", "enable", amy.handle)
    assert signs_in(house, "back", issuer("back"), "amy").id == amy.id


def test_t_56_what_an_issuer_said_before_somebody_was_signed_out_everywhere_says_nothing_any_more(house: House) -> None:
    iss = "https://before.example"
    provider(house, "before", iss)
    signer = trusted(house, "before", iss)
    known, secret = app(house)
    first, second = (jag(house, signer, known, iss=iss, sub="eve") for _ in range(2))
    assert present(house, first, (known.id, secret)).status_code == 200

    run(house, "revoke", "person", "eve@before")

    assert present(house, second, (known.id, secret)).json()["error"] == "invalid_grant"
    time.sleep(1.1)
    later = jag(house, signer, known, iss=iss, sub="eve")
    assert present(house, later, (known.id, secret)).status_code == 200


def test_t_84_the_tokens_by_an_issuer_end_with_it(house: House) -> None:
    iss = "https://ends.example"
    provider(house, "ends", iss)
    signer = trusted(house, "ends", iss)
    token = vouched(house, signer, iss, "fay").json()["access_token"]
    house.until_call(token, 200)

    run(house, "issuer", "remove", iss, "--kind", "identity")

    house.until_call(token, 401)
