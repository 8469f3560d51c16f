"""T-25: an answer that is from another identity provider than the one that was asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from idp_adapters.contract import Arrival, IdentityProblem, IdentityRefused
from tests.fakes.providers.openid import OpenIdProvider, listening
from tests.idp_adapters.relying import CALLBACK, STATE, Relying

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def honest() -> Iterator[Relying]:
    provider = OpenIdProvider()
    with listening(provider):
        yield Relying(provider)


@pytest.fixture
def evil() -> Iterator[Relying]:
    provider = OpenIdProvider()
    with listening(provider):
        yield Relying(provider)


ISSUERS = {
    "missing although promised": lambda honest, evil: "",
    "of another provider": lambda honest, evil: evil,
    "with a slash at the end": lambda honest, evil: honest + "/",
    "in capitals": lambda honest, evil: honest.upper(),
    "with a path": lambda honest, evil: honest + "/realm",
    "with something before it": lambda honest, evil: evil + "#" + honest,
}


@pytest.mark.parametrize("case", ISSUERS)
def test_t_25_an_answer_of_another_issuer_is_refused_before_anything_is_sent(honest, evil, case):
    departure = honest.depart()
    said = ISSUERS[case](honest.provider.issuer, evil.provider.issuer)
    arrival = honest.provider.answer(departure, iss=said)
    with pytest.raises(IdentityRefused, match=r"which identity provider|another identity provider"):
        honest.adapter.arrive(arrival, departure.kept)
    assert not honest.provider.asked("/token")


@pytest.mark.parametrize("case", ISSUERS)
def test_t_25_an_error_of_another_issuer_is_not_even_read(honest, evil, case):
    departure = honest.depart()
    said = {"state": STATE, "error": "access_denied", "error_description": "call 555-EVIL", "code": "c"}
    if issuer := ISSUERS[case](honest.provider.issuer, evil.provider.issuer):
        said["iss"] = issuer
    with pytest.raises(IdentityRefused) as refused:
        honest.adapter.arrive(Arrival(method="GET", url=CALLBACK, parameters=said), departure.kept)
    assert refused.value.reason in {"iss_missing", "iss_mismatch"}
    assert "EVIL" not in str(refused.value)


@pytest.mark.parametrize("error", ["access_denied", "server_error", "invalid_request", "<script>", "555-EVIL", ""])
def test_t_25_what_an_honest_error_describes_is_not_repeated(honest, error):
    said = {"state": STATE, "error": error, "error_description": "call 555-EVIL", "iss": honest.provider.issuer}
    said["error_uri"] = "https://evil.example/"
    with pytest.raises(IdentityProblem) as refused:
        honest.adapter.arrive(Arrival(method="GET", url=CALLBACK, parameters=said), honest.depart().kept)
    shown = str(refused.value) + refused.value.reason
    assert not [word for word in ("EVIL", "evil", "script") if word in shown]
    assert not honest.provider.asked("/token")


def test_t_25_a_code_of_the_honest_provider_is_not_carried_to_the_evil_one(honest, evil):
    """RFC 9700 section 4.4.1: the browser left for the evil one, which sent it on to the honest one."""
    begun = evil.depart()
    stolen = honest.provider.answer(honest.depart())
    with pytest.raises(IdentityRefused):
        evil.adapter.arrive(stolen, begun.kept)
    assert not evil.provider.asked("/token")


def test_t_25_a_token_of_another_issuer_is_none_although_its_key_is_known(honest, evil):
    evil.provider.published = honest.provider.published
    evil.provider.signer = honest.provider.signer
    honest.provider.forge = lambda claims: evil.provider.sign(claims | {"iss": evil.provider.issuer})
    with pytest.raises(IdentityRefused):
        honest.sign_in()


def test_t_25_a_discovery_document_that_names_another_issuer_is_not_used(honest, evil):
    honest.provider.metadata = {"issuer": evil.provider.issuer}
    with pytest.raises(IdentityProblem):
        Relying(honest.provider).depart()
    assert not evil.provider.heard
