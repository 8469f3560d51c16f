"""Tokens on behalf of people who signed in with Entra ID."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from authz import jose
from idp_adapters.config import ConfigRefused, read_config
from idp_adapters.contract import IdentityRefused, Lending, ProviderDown, Standing
from tests.fakes.providers.entra import TENANT
from tests.fakes.providers.openid import CLIENT
from tests.idp_adapters.relying import RelyingOnEntra

if TYPE_CHECKING:
    from idp_adapters.contract import Lent

NOTES = ("api://notes/access_as_user",)


@pytest.fixture
def standing(entra: RelyingOnEntra) -> RelyingOnEntra:
    return _with(entra, on_behalf=True)


def _with(entra: RelyingOnEntra, equipped: dict[str, Any] | None = None, **options: Any) -> RelyingOnEntra:
    told = entra.equipped | (equipped or {})
    return RelyingOnEntra(entra.provider, "entra", options=options, secrets=entra.secrets, equipped=told)


def lent(entra: RelyingOnEntra, keep: bytes) -> Lent | None:
    found: Lent | None = entra.adapter.on_behalf(keep, NOTES)
    return found


def test_it_lends_and_stands_for_people(entra):
    assert isinstance(entra.adapter, Lending)
    assert isinstance(entra.adapter, Standing)


def test_a_sign_in_asks_for_a_token_for_our_own_app(standing):
    asked = parse_qs(urlsplit(standing.depart().url).query)["scope"][0].split()
    assert f"{CLIENT}/.default" in asked


def test_a_token_for_the_servers_app_is_got_on_behalf_of_the_person(standing):
    keep = standing.sign_in("alice").keep

    found = lent(standing, keep)

    assert found is not None
    assert found.token.startswith("obo-alice-")
    (asked,) = [one for one in standing.provider.asked("/token") if "assertion" in one.form]
    assert asked.form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    assert NOTES[0] in asked.form["scope"].split()
    assert 3500 < found.until - standing.equipment.now() <= 3599
    assert found.token not in repr(found)


def test_each_is_asked_for_with_the_persons_own(standing):
    kept = {person: standing.sign_in(person).keep for person in ("alice", "bob")}
    for person, keep in kept.items():
        assert lent(standing, keep).token.startswith(f"obo-{person}-")


def test_nothing_that_was_got_is_kept_with_the_sign_in(standing):
    first = standing.sign_in()
    found = lent(standing, first.keep)
    assert found.token.encode() not in standing.adapter.renew(first.keep).keep


def test_a_token_of_our_app_that_has_run_out_is_renewed_first(standing, entra):
    first = standing.sign_in()
    later = _with(entra, {"now": lambda: standing.equipment.now() + 3590}, on_behalf=True)
    assert lent(later, first.keep) is None
    assert lent(standing, standing.adapter.renew(first.keep).keep).token.startswith("obo-alice-")


def test_a_sign_in_from_before_it_was_configured_has_to_be_renewed(entra, standing):
    before = entra.sign_in()
    assert lent(standing, before.keep) is None
    with pytest.raises(ProviderDown, match="on_behalf"):
        lent(entra, before.keep)


@pytest.mark.parametrize("error", ["interaction_required", "invalid_grant", "login_required"])
def test_where_entra_wants_to_see_the_person_they_sign_in_again(standing, error):
    keep = standing.sign_in().keep
    challenge = json.dumps({"access_token": {"acrs": {"essential": True, "value": "c1"}}})
    standing.provider.obo_error = {"error": error, "claims": challenge, "suberror": "basic_action"}
    with pytest.raises(IdentityRefused) as refused:
        lent(standing, keep)
    assert "555" not in str(refused.value)


@pytest.mark.parametrize(
    "said",
    [
        {"error": "invalid_grant", "suberror": "consent_required", "error_codes": [65001]},
        {"error": "invalid_grant", "error_codes": [65001]},
    ],
    ids=str,
)
def test_where_consent_is_missing_an_administrator_has_to_give_it(standing, said):
    keep = standing.sign_in().keep
    standing.provider.obo_error = said
    with pytest.raises(ProviderDown, match="administrator"):
        lent(standing, keep)


@pytest.mark.parametrize(
    "answer",
    [{"token_type": "pop"}, {"access_token": None}, {"access_token": 5}, {"expires_in": "x"}, {"expires_in": -1}],
    ids=str,
)
def test_an_answer_that_is_no_bearer_token_gives_nothing(standing, answer):
    keep = standing.sign_in().keep
    standing.provider.obo_answer = answer
    with pytest.raises(ProviderDown):
        lent(standing, keep)


def test_the_app_itself_asks_with_all_its_permissions_of_one_resource(standing):
    found = standing.adapter.on_our_own(NOTES)
    assert found.token
    (asked,) = standing.provider.asked("/token")
    assert (asked.form["grant_type"], asked.form["scope"]) == ("client_credentials", "api://notes/.default")
    with pytest.raises(ProviderDown, match="several"):
        standing.adapter.on_our_own(["api://notes/a", "api://clock/b"])


def test_its_id_token_is_lent_too(entra):
    keep = entra.sign_in().keep
    assert jose.read_foreign(entra.adapter.identity_token(keep).token).claims["tid"] == TENANT


def test_a_token_is_for_one_resource_so_graph_is_not_asked_as_the_person():
    config = {"tenant": TENANT, "client_id": CLIENT, "on_behalf": True, "graph_as": "person"}
    with pytest.raises(ConfigRefused, match="exclude each other"):
        read_config("entra", config)
