"""Against SimpleSAMLphp, which shares nothing with us or with pysaml2."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from idp_adapters.contract import Arrival, IdentityRefused
from idp_adapters.saml.config import SamlConfig
from idp_adapters.saml.provider import SamlProvider
from tests.idp_adapters.contract_suite import ContractSuite, RedirectingSuite
from tests.idp_adapters.equipment import BASE_URL, equipment
from tests.idp_adapters.saml.house import landed, sp_secret
from tests.idp_adapters.saml.wrapping import SHAPES as WRAPPINGS
from tests.servers.simplesamlphp import SHAPES, Browser, ServiceProvider, simplesamlphp

if TYPE_CHECKING:
    from collections.abc import Iterator

    from idp_adapters.contract import Departure, Equipment
    from tests.servers.simplesamlphp import SimpleSamlPhp

pytestmark = pytest.mark.servers


def certificate() -> str:
    pem = x509.load_pem_x509_certificate(sp_secret()).public_bytes(Encoding.PEM)
    return "".join(pem.decode().splitlines()[1:-1])


@pytest.fixture(scope="module")
def server() -> Iterator[SimpleSamlPhp]:
    with simplesamlphp([ServiceProvider(slug, BASE_URL, certificate()) for slug in SHAPES]) as started:
        yield started


class Corp:
    """Our adapter for that server, as the service provider `slug`."""

    kind = "saml"

    def __init__(self, server: SimpleSamlPhp, slug: str, **options: Any) -> None:
        self.config = {"entity_id": server.entity_id, "metadata_url": server.metadata_url, **options}
        self.equipment: Equipment = equipment(slug, secrets={"sp_key": sp_secret()}, addresses=[server.url])
        self.adapter = self.opened(self.config)
        self.place = f"{BASE_URL}/signin/{slug}"

    def opened(self, config: dict[str, Any]) -> SamlProvider:
        return SamlProvider(SamlConfig.model_validate(config), self.equipment)

    def down(self) -> SamlProvider:
        return self.opened(self.config | {"metadata_url": "http://127.0.0.1:9/metadata"})

    def answer(self, departure: Departure, person: str = "alice") -> Arrival:
        with Browser() as browser:
            return self.brought(departure, browser, person)

    def brought(self, departure: Departure, browser: Browser, person: str = "alice") -> Arrival:
        url, form = browser.until(departure.url, f"{self.place}/", person)
        return Arrival(method="POST", url=url, parameters=form)

    def remove(self, person: str) -> None:
        pytest.fail("SAML has no way to ask about somebody")


@pytest.fixture
def subject(server: SimpleSamlPhp) -> Corp:
    return Corp(server, "plain")


class TestContract(ContractSuite):
    pass


class TestRedirecting(RedirectingSuite):
    pass


@pytest.mark.parametrize("slug", ["plain", "enc"])
def test_somebody_signs_in_where_both_are_signed(server: SimpleSamlPhp, slug: str) -> None:
    corp = Corp(server, slug)
    departure = corp.adapter.depart(f"{corp.place}/callback", "the-state")
    arrival = corp.answer(departure)
    assert arrival.parameters["RelayState"] == "the-state"
    found = corp.adapter.arrive(arrival, departure.kept)
    assert (found.issuer, found.subject) == (server.entity_id, "alice")
    assert (found.login, found.name, found.email) == ("alice", "Alice", "alice@lab.test")
    assert found.groups == {"devs", "eng"}
    assert found.session


@pytest.mark.parametrize("slug", ["asig", "rsig"])
def test_an_answer_of_which_one_part_is_signed_is_refused(server: SimpleSamlPhp, slug: str) -> None:
    corp = Corp(server, slug)
    departure = corp.adapter.depart(f"{corp.place}/callback", "the-state")
    with pytest.raises(IdentityRefused) as raised:
        corp.adapter.arrive(corp.answer(departure), departure.kept)
    assert raised.value.reason == "saml_unsigned"


def test_that_server_reads_our_metadata_and_signs_people_in_by_it(server: SimpleSamlPhp) -> None:
    corp = Corp(server, "pasted")
    server.told(corp.adapter.metadata())
    departure = corp.adapter.depart(f"{corp.place}/callback", "the-state")
    assert corp.adapter.arrive(corp.answer(departure), departure.kept).subject == "alice"


def test_signing_out_here_signs_out_there(server: SimpleSamlPhp) -> None:
    corp = Corp(server, "plain")
    departure = corp.adapter.depart(f"{corp.place}/callback", "one")
    with Browser() as browser:
        found = corp.adapter.arrive(corp.brought(departure, browser), departure.kept)
        leaving = corp.adapter.leave(found.keep, f"{BASE_URL}/", "leaving")
        assert leaving is not None
        back, _ = browser.until(leaving.url, f"{corp.place}/logout")
        assert corp.adapter.hear(landed(back)) is None
        assert "RelayState=leaving" in back
        again = corp.adapter.depart(f"{corp.place}/callback", "two")
        other = corp.brought(again, browser, "bob")  # who could not type a name were alice still signed in
        assert corp.adapter.arrive(other, again.kept).subject == "bob"


def test_signing_out_there_is_heard_here_and_answered(server: SimpleSamlPhp) -> None:
    corp = Corp(server, "enc")
    departure = corp.adapter.depart(f"{corp.place}/callback", "one")
    with Browser() as browser:
        found = corp.adapter.arrive(corp.brought(departure, browser), departure.kept)
        done = f"{BASE_URL}/all-done"
        start = f"{server.url}/saml2/idp/SingleLogoutService.php?ReturnTo={done}"
        told, _ = browser.until(start, f"{corp.place}/logout")
        ended = corp.adapter.hear(landed(told))
        assert ended is not None
        assert (ended.issuer, ended.subject, ended.session) == (found.issuer, found.subject, found.session)
        assert ended.answer is not None
        there, _ = browser.until(ended.answer.url, done)
        assert there == done


@pytest.mark.parametrize("wrapping", WRAPPINGS)
@pytest.mark.parametrize("slug", ["plain", "asig", "rsig"])
def test_t_31_what_that_server_signed_is_refused_when_it_is_wrapped(
    server: SimpleSamlPhp, slug: str, wrapping: str
) -> None:
    corp = Corp(server, slug)
    departure = corp.adapter.depart(f"{corp.place}/callback", "state")
    arrival = corp.answer(departure)
    honest = base64.b64decode(arrival.parameters["SAMLResponse"]).decode()
    wrapped = WRAPPINGS[wrapping](honest)
    assert "admin" in wrapped
    forged = Arrival(
        method="POST",
        url=arrival.url,
        parameters={**arrival.parameters, "SAMLResponse": base64.b64encode(wrapped.encode()).decode()},
    )
    with pytest.raises(IdentityRefused):
        corp.adapter.arrive(forged, departure.kept)
