"""T-39: tokens of other tenants, names that move, groups that are left out, and all that MSAL lets through."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest

from idp_adapters.config import ConfigRefused, read_config
from idp_adapters.contract import Arrival, IdentityProblem, IdentityRefused, ProviderDown
from tests.fakes.network.certificates import make_certificate
from tests.fakes.providers.entra import GRAPH_TOKEN, TENANT, EntraShaped, object_id
from tests.fakes.providers.issuers import Signer
from tests.fakes.providers.openid import CLIENT, Reply, listening
from tests.idp_adapters.relying import CALLBACK, RelyingOnEntra, changed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FOREIGN = "99999999-2222-3333-4444-555555555555"
GRAPH = "/v1.0/users/{}/transitiveMemberOf/microsoft.graph.group"


@pytest.fixture
def entra(tmp_path: Path) -> Iterator[RelyingOnEntra]:
    provider = EntraShaped()
    ca_file, context = make_certificate(tmp_path, "localhost")
    with listening(provider, context, "localhost"):
        yield RelyingOnEntra(provider, "entra", equipped={"ca_file": ca_file})


def again(entra: RelyingOnEntra, **options: Any) -> RelyingOnEntra:
    return RelyingOnEntra(entra.provider, "entra", options=options, equipped=entra.equipped)


def foreign(claims: dict[str, Any]) -> str:
    return str(claims["iss"]).replace(TENANT, FOREIGN)


LET_THROUGH: dict[str, dict[str, Any]] = {
    "a foreign tenant": {"tid": FOREIGN},
    "a foreign tenant and its issuer": {"tid": FOREIGN, "iss": foreign},
    "a foreign issuer": {"iss": foreign},
    "the issuer of version 1": {"iss": f"https://sts.windows.net/{TENANT}/"},
    "the template of the common endpoint": {"iss": lambda claims: claims["iss"].replace(TENANT, "{tenantid}")},
    "the issuer of another host": {"iss": f"https://evil.example/{TENANT}/v2.0"},
    "no tenant": {"tid": None},
    "a tenant that is a list": {"tid": [TENANT]},
    "a tenant in capitals": {"tid": TENANT.upper() + "A"},
    "another audience": {"aud": "other"},
    "an audience that is the application's address": {"aud": f"api://{CLIENT}"},
    "expired": {"exp": lambda claims: claims["iat"] - 120},
    "not valid yet": {"nbf": lambda claims: claims["iat"] + 600},
    "another nonce": {"nonce": "another"},
    "no nonce": {"nonce": None},
    "version 1": {"ver": "1.0"},
    "no version": {"ver": None},
    "no object id": {"oid": None},
    "an object id that is none": {"oid": "admin"},
}


@pytest.mark.parametrize("case", LET_THROUGH)
def test_t_39_a_token_that_msal_lets_through_is_refused(entra, case):
    entra.provider.twist = changed(**LET_THROUGH[case])
    with pytest.raises(IdentityRefused):
        entra.sign_in()


def unsigned(entra: RelyingOnEntra) -> Any:
    return lambda claims: f"eyJhbGciOiJub25lIn0.{entra.provider.sign(claims).split('.')[1]}."


@pytest.mark.parametrize(
    "forge",
    [
        unsigned,
        lambda _: Signer("k1", "RS256").sign,
        lambda _: Signer("k1", "ES256").sign,
        lambda entra: lambda claims: entra.provider.signer.sign(claims, "at+jwt"),
        lambda _: lambda claims: "a.b.c",
        lambda _: lambda claims: "not-a-token",
    ],
)
def test_t_39_a_signature_that_is_not_the_tenants_is_refused(entra, forge):
    entra.provider.forge = forge(entra)
    with pytest.raises(IdentityProblem):
        entra.sign_in()


@pytest.mark.parametrize("case", [case for case in LET_THROUGH if "nonce" not in case])
def test_t_39_a_renewal_is_judged_like_a_sign_in(entra, case):
    keep = entra.sign_in().keep
    entra.provider.twist = changed(**LET_THROUGH[case])
    with pytest.raises(IdentityRefused):
        entra.adapter.renew(keep)


def test_t_39_a_renewal_for_another_object_id_is_refused(entra):
    keep = entra.sign_in().keep
    entra.provider.twist = changed(oid=object_id("bob"))
    with pytest.raises(IdentityRefused, match="somebody else"):
        entra.adapter.renew(keep)


def test_t_39_a_colleague_with_the_admins_address_is_somebody_else(entra):
    admin = entra.sign_in()
    names = {"email": "alice@corp.example", "preferred_username": "alice@corp.example", "upn": "alice@corp.example"}
    entra.provider.twist = changed(**names)
    colleague = entra.sign_in("bob")
    assert (admin.email, admin.login) == (colleague.email, colleague.login)
    assert (admin.issuer, admin.subject) != (colleague.issuer, colleague.subject)
    assert colleague.subject == object_id("bob")


def test_t_39_the_same_object_id_in_another_tenant_is_somebody_else(entra):
    both = again(entra, tenant="organizations", tenants=[TENANT, FOREIGN])
    assert both.adapter.answers_for(f"{entra.provider.origin}/{FOREIGN}/v2.0")
    names = {both.adapter._tenants[tenant].name for tenant in (TENANT, FOREIGN)}
    assert len(names) == 2


@pytest.mark.parametrize("tenant", ["organizations", "common"])
def test_t_39_a_tenant_is_pinned_or_nobody_signs_in(tenant):
    with pytest.raises(ConfigRefused, match="tenants"):
        read_config("entra", {"tenant": tenant, "client_id": CLIENT})
    with pytest.raises(ConfigRefused):
        read_config("entra", {"tenant": tenant, "client_id": CLIENT, "tenants": ["corp.example"]})
    with pytest.raises(ConfigRefused):
        read_config("entra", {"tenant": "../" + tenant, "client_id": CLIENT})


def of_all_tenants(entra: RelyingOnEntra, tenants: list[str]) -> RelyingOnEntra:
    """As the endpoint for all organisations answers: with a template where the issuer should be."""
    provider = entra.provider
    template = f"{provider.origin}/{{tenantid}}/v2.0"
    well_known = "/v2.0/.well-known/openid-configuration"
    for tenant in ("organizations", FOREIGN):
        provider.replies[f"/{tenant}{well_known}"] = lambda heard: Reply(
            200, {name: value for name, value in provider.document().items() if value is not None} | {
                "issuer": template if "organizations" in heard.path else f"{provider.origin}/{FOREIGN}/v2.0"
            }
        )  # fmt: skip
    return again(entra, tenant="organizations", tenants=tenants)


def test_t_39_of_all_organisations_only_pinned_ones_get_in(entra):
    ours = of_all_tenants(entra, [TENANT])
    found = ours.sign_in()
    assert found.issuer == entra.provider.issuer
    assert ours.adapter.renew(found.keep).subject == found.subject
    entra.provider.twist = changed(tid=FOREIGN, iss=foreign)
    with pytest.raises(IdentityRefused, match="tenant"):
        ours.sign_in()
    theirs = of_all_tenants(entra, [FOREIGN])
    assert theirs.sign_in().issuer == f"{entra.provider.origin}/{FOREIGN}/v2.0"


def test_t_39_the_template_is_no_issuer_of_a_single_tenant(entra):
    entra.provider.metadata = {"issuer": f"{entra.provider.origin}/{{tenantid}}/v2.0"}
    with pytest.raises(ProviderDown, match="another issuer"):
        again(entra).depart()


def test_t_39_state_and_flow_of_another_browser_are_refused(entra):
    ours, theirs = entra.depart(), entra.depart()
    with pytest.raises(IdentityRefused):
        entra.adapter.arrive(entra.answer(theirs), ours.kept)
    for kept in ({}, {"state": "other", "flow": ours.kept["flow"]}):
        with pytest.raises(IdentityRefused):
            entra.adapter.arrive(entra.answer(ours), kept)


def test_t_39_what_says_who_answers_is_looked_at(entra):
    departure = entra.depart()
    evil = entra.provider.answer(departure, iss="https://evil.example/v2.0")
    with pytest.raises(IdentityRefused, match="another identity provider"):
        entra.adapter.arrive(evil, departure.kept)
    assert not entra.provider.asked("/token")


# Groups that are left out


def test_t_39_groups_that_are_left_out_are_fetched_all_of_them(entra):
    entra.provider.overflowing = True
    entra.provider.people["alice"]["groups"] = [f"g{number}" for number in range(5)]
    found = entra.sign_in()
    assert found.groups == {"g0", "g1", "g2", "g3", "g4"}
    assert not [heard for heard in entra.provider.heard if "getMemberObjects" in heard.path]
    assert entra.adapter.renew(found.keep).groups == found.groups


def test_t_39_as_the_person_they_are_fetched_with_their_token(entra):
    entra.provider.overflowing = True
    assert again(entra, graph_as="person").sign_in().groups == {"devs", "eng"}
    asked = [heard for heard in entra.provider.heard if heard.path.startswith("/v1.0/")]
    assert asked
    assert all(heard.path.startswith("/v1.0/me/") for heard in asked)


def test_t_39_unless_graph_may_be_asked_nobody_with_many_groups_signs_in(entra):
    entra.provider.overflowing = True
    with pytest.raises(ProviderDown, match="too many groups"):
        again(entra, graph_as="nobody").sign_in()


BROKEN_GRAPHS = {
    "forbidden": Reply(403, {"error": {}}),
    "not authenticated": Reply(401, {"error": {}}),
    "throttled": Reply(429, {"error": {}}),
    "broken": Reply(500, {}),
    "elsewhere": Reply(302, {}, (("Location", "https://evil.example/"),)),
    "not JSON": Reply(200, b"<html>"),
    "no list": Reply(200, {"value": {"id": "g1"}}),
    "nothing": Reply(200, {}),
    "a group without an id": Reply(200, {"value": [{"id": "g1"}, {"displayName": "g2"}]}),
    "a group that is a text": Reply(200, {"value": ["g1"]}),
    "a next page that is no text": Reply(200, {"value": [], "@odata.nextLink": 7}),
    "a next page at another host": Reply(200, {"value": [], "@odata.nextLink": "https://evil.example/v1.0/me"}),
}


@pytest.mark.parametrize("case", BROKEN_GRAPHS)
def test_t_39_groups_that_cannot_be_had_are_not_no_groups(entra, case):
    entra.provider.overflowing = True
    entra.provider.replies[GRAPH.format(object_id("alice"))] = lambda _: BROKEN_GRAPHS[case]
    with pytest.raises(ProviderDown):
        entra.sign_in()


def test_t_39_our_token_for_graph_goes_nowhere_else(entra, tmp_path):
    other = EntraShaped()
    _, context = make_certificate(tmp_path, "localhost")
    with listening(other, context, "localhost"):
        entra.provider.overflowing = True
        near = [
            f"{other.origin}/v1.0/me",
            f"{entra.provider.origin}.evil.example/v1.0/me",
            f"{entra.provider.origin}/v1.0evil/me",
            f"{entra.provider.origin}@evil.example/v1.0/me",
        ]
        for link in near:
            page = Reply(200, {"value": [], "@odata.nextLink": link})
            entra.provider.replies[GRAPH.format(object_id("alice"))] = lambda _, page=page: page
            with pytest.raises(ProviderDown):
                entra.sign_in()
        assert not other.heard
    leaked = [heard for heard in entra.provider.heard if GRAPH_TOKEN in str(heard) and "/v1.0/" not in heard.path]
    assert not leaked


def test_t_39_pages_without_end_have_one(entra):
    entra.provider.overflowing = True
    entra.provider.people["alice"]["groups"] = [f"g{number}" for number in range(50)]
    with pytest.raises(ProviderDown, match="more than 10 pages"):
        entra.sign_in()


@pytest.mark.parametrize("marker", [{"hasgroups": True}, {"hasgroups": "true"}])
def test_t_39_the_other_marker_of_groups_left_out_counts_too(entra, marker):
    entra.provider.twist = changed(groups=None, **marker)
    assert entra.sign_in().groups == {"devs", "eng"}
    assert [heard for heard in entra.provider.heard if heard.path.startswith("/v1.0/users/")]


def test_t_39_no_groups_and_no_marker_are_no_groups(entra):
    entra.provider.twist = changed(groups=None)
    assert entra.sign_in().groups == frozenset()
    assert not [heard for heard in entra.provider.heard if heard.path.startswith("/v1.0/")]


# What others present


def test_t_39_an_id_token_vouches_for_clients_that_were_named_in_tenants_that_are_pinned(entra):
    judge = again(entra, accepted_clients=["desktop"]).adapter
    claims = entra.provider.claims_of("alice") | {"aud": "desktop"}
    found = judge.vouch(entra.provider.sign(claims), "us", "there")
    assert (found.subject, found.presented_to, found.groups) == (object_id("alice"), "desktop", {"devs", "eng"})
    for wrong in ({"aud": CLIENT}, {"aud": "00000003-0000-0000-c000-000000000000"}, {"tid": FOREIGN}, {"ver": "1.0"}):
        with pytest.raises(IdentityRefused):
            judge.vouch(entra.provider.sign(claims | wrong), "us", "there")
    with pytest.raises(IdentityRefused, match="not exchanged here"):
        entra.adapter.vouch(entra.provider.sign(claims), "us", "there")


def test_t_39_a_presented_token_without_groups_is_completed_by_graph_or_refused(entra):
    silent = {name: value for name, value in entra.provider.claims_of("alice").items() if name != "groups"}
    token = entra.provider.sign(silent | {"aud": "desktop"})
    assert again(entra, accepted_clients=["desktop"]).adapter.vouch(token, "us", "there").groups == {"devs", "eng"}
    for way in ("person", "nobody"):
        with pytest.raises(ProviderDown, match="Graph cannot be asked"):
            again(entra, accepted_clients=["desktop"], graph_as=way).adapter.vouch(token, "us", "there")


UNCLEAR = [{}, {"iss": "x", "sid": "s"}, {"sid": "sid-1"}, {"iss": "ours"}, {"iss": "ours", "sid": 256 * "s"}]


@pytest.mark.parametrize("said", UNCLEAR)
def test_t_39_only_a_named_session_of_a_pinned_tenant_ends_by_the_browser(entra, said):
    told = said | ({"iss": entra.provider.issuer} if said.get("iss") == "ours" else {})
    with pytest.raises(IdentityRefused):
        entra.adapter.hear(Arrival(method="GET", url=CALLBACK, parameters=told))
    ended = entra.adapter.hear(
        Arrival(method="GET", url=CALLBACK, parameters={"iss": entra.provider.issuer, "sid": "sid-1"})
    )
    assert (ended.issuer, ended.session) == (entra.provider.issuer, "sid-1")


def test_t_39_the_nonce_that_travels_is_not_the_one_that_is_kept(entra):
    departure = entra.depart()
    kept = departure.kept["flow"]
    sent = departure.url.partition("nonce=")[2].partition("&")[0]
    assert sent not in kept
    assert len(sent) == len(hashlib.sha256().hexdigest())
