"""Whatever a provider says, it is refused or believed: nothing that it can write breaks a reader."""

from __future__ import annotations

import time
from base64 import urlsafe_b64encode
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from authz.jose import verify_foreign
from idp_adapters.contract import HttpAnswer, IdentityProblem, IdentityRefused, ProviderDown, Verified
from idp_adapters.entra.graph import groups, too_many
from idp_adapters.entra.provider import _unverified_tenant
from idp_adapters.oidc.answer import read_answer
from idp_adapters.oidc.claims import carried, identity_of
from idp_adapters.oidc.discovery import Issuer
from idp_adapters.oidc.judging import LOGOUT_EVENT, Expected, judge_id_token, judge_logout_token
from idp_adapters.oidc.kept import read_kept
from tests.fakes.providers.issuers import Signer
from tests.fakes.providers.openid import CLIENT
from tests.idp_adapters.equipment import equipment

ISSUER = "https://id.example"
NOW = time.time()
EXPECTED = Expected(issuer=ISSUER, clients=frozenset({CLIENT}), now=NOW, leeway=60, nonce="n", access_token="at")
GOOD = {"iss": ISSUER, "sub": "alice", "aud": CLIENT, "exp": NOW + 300, "iat": NOW, "nonce": "n"}

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
known = st.sampled_from([CLIENT, ISSUER])
values = st.recursive(
    scalars | known,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)
names = st.sampled_from([
    *GOOD, "azp", "nbf", "auth_time", "acr", "amr", "sid", "at_hash", "events", "groups", "name", "email",
    "email_verified", "_claim_names", "jti", "preferred_username", "hasgroups",
])  # fmt: skip
changes = st.dictionaries(names, values, max_size=4)
few = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@few
@given(changes)
def test_any_claims_are_judged_and_never_of_another_issuer_client_or_time(change):
    claims = GOOD | change
    try:
        judged = judge_id_token(Verified({"alg": "RS256"}, claims), EXPECTED)
        identity_of(judged, issuer=ISSUER, subject="alice", login="alice", carried=carried(judged, "groups", ["acr"]))
    except IdentityRefused:
        return
    assert judged["iss"] == ISSUER
    assert judged["nonce"] == "n"
    assert CLIENT in judged["aud"]
    assert judged.get("azp") in {None, CLIENT}
    assert judged["exp"] > NOW - 60
    assert judged["iat"] <= NOW + 60
    assert "events" not in judged


@few
@given(changes)
def test_any_logout_token_is_judged_and_never_without_its_event(change):
    claims = GOOD | {"events": {LOGOUT_EVENT: {}}, "jti": "j", "nonce": None} | change
    told = {name: value for name, value in claims.items() if name != "nonce" or value is not None}
    try:
        judged = judge_logout_token(Verified({"alg": "RS256"}, told), EXPECTED)
    except IdentityRefused:
        return
    assert LOGOUT_EVENT in judged["events"]
    assert "nonce" not in judged
    assert judged.get("sub") or judged.get("sid")


class Saying:
    """A way out on which the same answer always comes back."""

    def __init__(self, said: Any) -> None:
        self.body = msgspec.json.encode(said)

    def send(self, method: str, url: str, **_: Any) -> HttpAnswer:
        return HttpAnswer(200, {"date": "x"}, self.body)


metadata_names = st.sampled_from([
    "issuer", "authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint", "end_session_endpoint",
    "claims_supported", "authorization_response_iss_parameter_supported",
])  # fmt: skip
addresses = st.sampled_from(["https://[", "//x", "https://id.example/a", "http://id.example", "data:x", "https://é"])


@few
@given(st.dictionaries(metadata_names, values | addresses, max_size=4))
def test_any_metadata_lead_to_https_or_nowhere(change):
    good = dict.fromkeys(("authorization_endpoint", "token_endpoint", "jwks_uri"), f"{ISSUER}/x")
    issuer = Issuer(equipment(http=Saying(good | {"issuer": ISSUER} | change)), ISSUER)
    try:
        found = issuer.metadata()
    except ProviderDown:
        return
    led = [found.authorization_endpoint, found.token_endpoint, found.jwks_uri, found.userinfo_endpoint]
    assert all(address.startswith("https://") for address in [*led, found.end_session_endpoint] if address)


@few
@given(values)
def test_any_answer_of_graph_is_groups_or_a_failure(said):
    try:
        found = groups(equipment(http=Saying(said)), "https://graph.example/v1.0", "token", "someone")
    except ProviderDown:
        return
    assert all(isinstance(one, str) and one for one in found)


@few
@given(st.dictionaries(st.sampled_from(["code", "state", "iss", "error"]), st.text(max_size=10)))
def test_any_parameters_are_a_code_of_this_issuer_and_state_or_refused(parameters):
    try:
        code = read_answer(parameters, {"state": "s"}, {ISSUER}, promises_iss=True)
    except IdentityProblem:
        return
    assert (parameters["state"], parameters["iss"], parameters["code"]) == ("s", ISSUER, code)


@few
@given(st.binary(max_size=60), st.text(max_size=60))
def test_any_bytes_are_read_or_refused(raw, text):
    with pytest.raises(ProviderDown):
        read_kept(raw)
    with suppress(IdentityRefused):
        assert isinstance(_unverified_tenant(text), str)


@few
@given(st.dictionaries(st.sampled_from(["alg", "kid", "typ", "nonce", "x5t"]), values))
def test_any_header_of_a_token_is_refused_without_breaking(header):
    parts = [urlsafe_b64encode(msgspec.json.encode(part)).rstrip(b"=").decode() for part in (header, GOOD)]
    with pytest.raises(IdentityRefused):
        verify_foreign(".".join([*parts, "c2ln"]), Signer("k1", "ES256").jwks["keys"], ["ES256", "RS256"])


@few
@given(changes)
def test_any_marker_of_groups_left_out_is_one_or_none(change):
    assert too_many(change) in {True, False}
