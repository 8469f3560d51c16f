"""The provider's metadata: read strictly, fetched again, and what serves while it cannot be had."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from idp_adapters.contract import HttpAnswer, IdentityRefused, ProviderDown
from idp_adapters.saml.config import SamlConfig
from idp_adapters.saml.idp import MetadataSource
from tests.idp_adapters.equipment import equipment
from tests.idp_adapters.saml.house import ISSUER, SLO, SSO, House, Said, at, idp_metadata, pair, posted, sign, signature

if TYPE_CHECKING:
    from pathlib import Path

URL = "https://idp.example/metadata"
ENTITY = "urn:oasis:names:tc:SAML:2.0:metadata:EntityDescriptor"


class Web:
    """An address where metadata is, or was. `now` is the time."""

    def __init__(self) -> None:
        self.document: str | None = idp_metadata()
        self.status = 200
        self.asked = 0
        self.now = 1_000_000.0

    def send(self, _method: str, url: str, **_: Any) -> HttpAnswer:
        assert url == URL
        self.asked += 1
        if self.document is None:
            raise ProviderDown("unreachable", "nobody is there")
        return HttpAnswer(self.status, {}, self.document.encode())


@pytest.fixture
def web() -> Web:
    return Web()


def source(web: Web, **options: Any) -> MetadataSource:
    config = SamlConfig(entity_id=ISSUER, metadata_url=URL, **options)
    return MetadataSource(config, equipment(http=web, now=lambda: web.now))


def down(found: MetadataSource) -> str:
    with pytest.raises(ProviderDown) as raised:
        found.current()
    return raised.value.reason


def test_it_says_where_to_go_and_whose_key_to_trust(web: Web) -> None:
    found = source(web).current()
    assert (found.sso, found.slo, found.slo_answers) == (SSO, SLO, SLO)
    assert found.certificates == (pair("idp").certificate_pem,)


def test_it_is_fetched_again_only_when_it_is_old(web: Web) -> None:
    found = source(web, metadata_refresh=600)
    found.current()
    web.now += 599
    found.current()
    assert web.asked == 1
    web.now += 2
    found.current()
    assert web.asked == 2


def test_the_last_good_one_serves_while_there_is_no_other(web: Web) -> None:
    found = source(web, metadata_refresh=600)
    found.current()
    web.document = None
    web.now += 3600
    assert found.current().sso == SSO
    asked = web.asked
    web.now += 10
    found.current()
    assert web.asked == asked  # a provider that is down is not asked at every sign-in
    web.now += 8 * 86400
    assert down(found) == "unreachable"
    assert down(found) == "saml_metadata_none"


def test_what_no_longer_holds_does_not_serve(web: Web) -> None:
    web.document = idp_metadata(more=' validUntil="1970-01-12T13:50:00Z"')  # 1,000,200
    found = source(web)
    found.current()
    web.document = None
    web.now += 300
    assert down(found) in {"saml_metadata_none", "unreachable"}


def test_what_has_ended_already_is_refused(web: Web) -> None:
    web.document = idp_metadata(more=' validUntil="1970-01-01T00:00:00Z"')
    assert down(source(web)) == "saml_metadata_expired"


def test_another_entity_is_not_ours_and_is_named(web: Web) -> None:
    web.document = idp_metadata("https://other.example")
    with pytest.raises(ProviderDown, match=r"https://other\.example"):
        source(web).current()


@pytest.mark.parametrize(
    ("was", "becomes", "reason"),
    [
        ("HTTP-Redirect", "HTTP-POST", "binding"),
        ("IDPSSODescriptor", "SPSSODescriptor", "role"),
        ("SAML:2.0:protocol", "SAML:1.1:protocol", "role"),
        ('use="signing"', 'use="encryption"', "keys"),
        ("<ds:X509Certificate>MII", "<ds:X509Certificate>XXX", "keys"),
        ("EntityDescriptor>", "Entity>", "unreadable"),
        ("<EntityDescriptor", "<!DOCTYPE x><EntityDescriptor", "unreadable"),
        ('ID="_metadata"', 'ID="_metadata" validUntil="soon"', "unreadable"),
        ('Location="https', 'Location="javascript', "binding"),
    ],
)
def test_what_cannot_be_used_says_why(web: Web, was: str, becomes: str, reason: str) -> None:
    assert web.document
    assert was in web.document
    web.document = web.document.replace(was, becomes)
    assert down(source(web)) == f"saml_metadata_{reason}"


def test_an_answer_that_is_no_document_is_not_read(web: Web) -> None:
    web.status = 404
    assert down(source(web)) == "saml_metadata_fetch"


def test_a_weak_key_is_refused(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    from idp_adapters.saml import idp

    monkeypatch.setattr(idp, "SMALLEST_RSA", 4096)
    assert down(source(web)) == "saml_metadata_keys"


@pytest.mark.servers
class TestPinned:
    """The document has to be signed by a key that was given by hand."""

    @pytest.fixture
    def pinned(self, tmp_path: Path) -> Path:
        file = tmp_path / "pin.pem"
        file.write_bytes(pair("federation").certificate_pem)
        return file

    def signed(self, signer: str, **how: str) -> str:
        document = idp_metadata()
        start = document.index(">") + 1
        return sign(document[:start] + signature("_metadata", **how) + document[start:], ENTITY, "_metadata", signer)

    def test_signed_by_that_key_it_counts(self, web: Web, pinned: Path) -> None:
        web.document = self.signed("federation")
        assert source(web, metadata_certificate=pinned).current().sso == SSO

    def test_unsigned_it_does_not(self, web: Web, pinned: Path) -> None:
        assert down(source(web, metadata_certificate=pinned)) == "saml_metadata_unsigned"

    def test_signed_by_another_key_it_does_not(self, web: Web, pinned: Path) -> None:
        web.document = self.signed("mallory")
        assert down(source(web, metadata_certificate=pinned)) == "saml_metadata_signature"

    def test_changed_afterwards_it_does_not(self, web: Web, pinned: Path) -> None:
        web.document = self.signed("federation").replace(SSO, "https://evil.example/sso")
        assert down(source(web, metadata_certificate=pinned)) == "saml_metadata_signature"

    def test_a_second_entity_around_the_signed_one_is_not_read(self, web: Web, pinned: Path) -> None:
        genuine = self.signed("federation")
        evil = idp_metadata(signer="mallory").replace("_metadata", "_evil")
        web.document = (
            f'<EntitiesDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata">{evil}{genuine}</EntitiesDescriptor>'
        )
        assert down(source(web, metadata_certificate=pinned)) == "saml_metadata_unsigned"


@pytest.mark.servers
def test_a_provider_that_changes_its_key_is_asked_again_once_it_does_not_fit(tmp_path: Path) -> None:
    clock = {"ahead": 0.0}
    import time

    house = House(tmp_path, _with_clock(lambda: time.time() + clock["ahead"]))
    house.arrive(Said())
    house.file.write_text(idp_metadata(signer="next"))
    with pytest.raises(IdentityRefused) as raised:  # too soon: whoever forges does not make us ask each time
        house.arrive(Said(signer="next"))
    assert raised.value.reason == "saml_signature"
    clock["ahead"] = 61
    late = Said(signer="next", until=at(600), confirmed_until=at(600))
    assert house.arrive(late).subject == "alice-for-good"
    with pytest.raises(IdentityRefused):
        house.arrive(Said(signer="idp", until=at(600), confirmed_until=at(600)))


def _with_clock(now: Any) -> Any:
    from tests.idp_adapters.saml.house import sp_secret

    return equipment(secrets={"sp_key": sp_secret()}, now=now)


def test_a_provider_that_is_down_is_not_a_refusal(tmp_path: Path) -> None:
    house = House(tmp_path)
    with pytest.raises(ProviderDown, match="cannot be read"):
        house.down().depart("x", "y")
    with pytest.raises(ProviderDown):
        house.down().arrive(posted(Said(request="_x").response()), {"request": "_x"})
