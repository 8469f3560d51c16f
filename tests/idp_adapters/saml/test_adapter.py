from __future__ import annotations

import base64
import time
import xml.etree.ElementTree as ET
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509

from idp_adapters.contract import (
    Arrival,
    HttpAnswer,
    IdentityRefused,
    LoggingOut,
    ProviderDown,
    Publishing,
    Redirecting,
    Vouching,
)
from idp_adapters.saml import keys
from idp_adapters.saml.config import SamlConfig
from idp_adapters.saml.provider import SamlProvider
from tests.idp_adapters.contract_suite import ContractSuite, RedirectingSuite
from tests.idp_adapters.equipment import equipment
from tests.idp_adapters.saml.house import (
    ACS,
    ISSUER,
    LOGOUT,
    SLO,
    SP_ENTITY,
    SSO,
    House,
    Said,
    at,
    idp_metadata,
    landed,
    logout_request,
    message_in,
    pair,
    redirected,
    sp_secret,
)

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.servers  # the xmlsec1 program


@pytest.fixture
def subject(tmp_path: Path) -> House:
    return House(tmp_path)


class TestContract(ContractSuite):
    pass


class TestRedirecting(RedirectingSuite):
    pass


@pytest.mark.parametrize("encrypt", [False, True])
def test_an_honest_answer_says_who_it_is(subject: House, encrypt: bool) -> None:
    found = subject.arrive(Said(encrypt=encrypt))
    assert (found.subject, found.login, found.email) == ("alice-for-good", "alice", "alice@lab.test")
    assert found.groups == {"devs", "eng"}
    assert found.session == "session-of-alice"
    assert found.acr.endswith("PasswordProtectedTransport")


def unprefixed(xml: str) -> str:
    """As Entra ID and ADFS write it."""
    return xml.replace("<saml:", "<").replace("</saml:", "</").replace("xmlns:saml=", "xmlns=")


def typed(xml: str) -> str:
    """As OpenSAML does, with what the types need declared far above."""
    declared = 'xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
    xml = xml.replace("<samlp:Response ", f"<samlp:Response {declared}", 1)
    return xml.replace("<saml:AttributeValue>", '<saml:AttributeValue xsi:type="xs:string">')


def inclusive(xml: str) -> str:
    """As Okta and Shibboleth do."""
    exclusive = "http://www.w3.org/2001/10/xml-exc-c14n#"
    kept = f'<ec:InclusiveNamespaces xmlns:ec="{exclusive}" PrefixList="xs"/>'
    whole = f'<ds:Transform Algorithm="{exclusive}">{kept}</ds:Transform>'
    return typed(xml).replace(f'<ds:Transform Algorithm="{exclusive}"/>', whole)


def spacious(xml: str) -> str:
    return xml.replace("><", ">\n  <")


def in_sections(xml: str) -> str:
    return xml.replace(">alice<", "><![CDATA[alice]]><")


FORMS = (unprefixed, typed, inclusive, spacious, in_sections)  # the house encrypts what bears its own prefix


@pytest.mark.parametrize(
    ("written", "encrypt"),
    [*((form, False) for form in FORMS), *((form, True) for form in FORMS if form is not unprefixed)],
)
def test_what_others_write_otherwise_means_the_same(subject: House, written: Any, encrypt: bool) -> None:
    found = subject.arrive(Said(edit=written, encrypt=encrypt))
    assert (found.subject, found.login, found.groups) == ("alice-for-good", "alice", {"devs", "eng"})


def test_a_declaration_and_lines_of_base64_are_read(subject: House) -> None:
    departure = subject.depart()
    xml = '<?xml version="1.0" encoding="UTF-8"?>\n' + Said(request=departure.kept["request"]).signed()
    lines = base64.encodebytes(xml.encode()).decode().replace("\n", "\r\n")
    arrival = Arrival(method="POST", url=ACS, parameters={"SAMLResponse": lines})
    assert subject.adapter.arrive(arrival, departure.kept).login == "alice"


def test_a_provider_may_sign_with_a_key_on_a_curve(subject: House) -> None:
    method = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256"
    subject.file.write_text(idp_metadata(signer="ec"))
    assert subject.arrive(Said(signer="ec", method=method)).subject == "alice-for-good"
    assert subject.adapter.hear(redirected("SAMLRequest", logout_request(), signer="ec", algorithm=method)) is not None
    with pytest.raises(IdentityRefused):
        subject.adapter.hear(redirected("SAMLRequest", logout_request(), signer="ec-other", algorithm=method))
    with pytest.raises(IdentityRefused):
        subject.adapter.hear(redirected("SAMLRequest", logout_request(), signer="idp"))


@pytest.mark.parametrize("bits", ["384", "512"])
def test_longer_digests_than_needed_are_taken(subject: House, bits: str) -> None:
    more = "http://www.w3.org/2001/04/xmldsig-more#"
    digest = f"{more}sha384" if bits == "384" else "http://www.w3.org/2001/04/xmlenc#sha512"
    assert subject.arrive(Said(method=f"{more}rsa-sha{bits}", digest=digest)).subject == "alice-for-good"


def test_it_can_do_all_that_saml_can(subject: House) -> None:
    for able in (Redirecting, LoggingOut, Publishing, Vouching):
        assert isinstance(subject.adapter, able)


class TestDeparting:
    def test_the_request_says_who_we_are_and_where_to_answer(self, subject: House) -> None:
        departure = subject.depart()
        request = ET.fromstring(message_in(departure.url, "SAMLRequest"))
        assert departure.url.startswith(f"{SSO}?")
        assert request.get("ID") == departure.kept["request"]
        assert (request.get("Destination"), request.get("AssertionConsumerServiceURL")) == (SSO, ACS)
        assert request.findtext("{*}Issuer") == SP_ENTITY

    def test_the_request_is_signed_with_the_key_of_our_metadata(self, subject: House) -> None:
        from idp_adapters.saml.redirect import signed_message

        ours = x509.load_pem_x509_certificate(sp_secret())
        pem = ours.public_bytes(keys.serialization.Encoding.PEM)
        query = subject.depart().url.partition("?")[2]
        assert signed_message(query, "SAMLRequest", [pem]).startswith(b"<")
        with pytest.raises(IdentityRefused):
            signed_message(query.replace("RelayState=state", "RelayState=other"), "SAMLRequest", [pem])

    def test_the_way_that_is_demanded_is_asked_for(self, subject: House) -> None:
        wanted = "https://refeds.org/profile/mfa"
        adapter = subject.opened(subject.config | {"authn_contexts": [wanted]})
        request = ET.fromstring(message_in(adapter.depart(ACS, "state").url, "SAMLRequest"))
        assert [one.text for one in request.iterfind("{*}RequestedAuthnContext/{*}AuthnContextClassRef")] == [wanted]

    def test_whoever_is_to_prove_it_anew_is_not_taken_at_an_old_word(self, subject: House) -> None:
        request = ET.fromstring(message_in(subject.adapter.depart(ACS, "state", again=True).url, "SAMLRequest"))
        assert request.get("ForceAuthn") == "true"

    def test_no_two_requests_are_alike(self, subject: House) -> None:
        assert len({subject.depart().kept["request"] for _ in range(20)}) == 20


class TestMetadata:
    def test_it_names_our_addresses_and_our_key(self, subject: House) -> None:
        entity = ET.fromstring(subject.adapter.metadata())
        assert entity.get("entityID") == SP_ENTITY
        role = entity.find("{*}SPSSODescriptor")
        assert role is not None
        assert (role.get("AuthnRequestsSigned"), role.get("WantAssertionsSigned")) == ("true", "true")
        assert [one.get("Location") for one in role.iterfind("{*}AssertionConsumerService")] == [ACS]
        assert [one.get("Location") for one in role.iterfind("{*}SingleLogoutService")] == [LOGOUT]
        assert [one.get("use") for one in role.iterfind("{*}KeyDescriptor")] == ["signing", "encryption"]

    def test_it_is_signed_with_that_key(self, subject: House) -> None:
        from idp_adapters.saml import shape, xmlsec

        document = subject.adapter.metadata()
        pem = x509.load_pem_x509_certificate(sp_secret()).public_bytes(keys.serialization.Encoding.PEM)
        signed = shape.signature_of(shape.parse(document))
        assert b"AssertionConsumerService" in xmlsec.verify(document, signed, [pem])
        with pytest.raises(IdentityRefused):
            xmlsec.verify(document.replace(b"callback", b"elsewhere"), signed, [pem])

    def test_it_is_signed_once_however_often_it_is_asked_for(self, subject: House) -> None:
        assert subject.adapter.metadata() is subject.adapter.metadata()

    def test_nothing_private_is_in_it(self, subject: House) -> None:
        assert b"PRIVATE" not in subject.adapter.metadata()


class TestKeys:
    def test_each_is_another(self) -> None:
        assert keys.generate("a") != keys.generate("a")

    def test_what_was_made_can_be_read_and_is_not_shown(self) -> None:
        key = keys.read(sp_secret())
        assert "PRIVATE" not in repr(key)
        assert key.certificate.public_key() == key.private.public_key()

    @pytest.mark.parametrize(
        "secret",
        [
            b"",
            b"not a key",
            pair("idp").key_pem,
            pair("idp").key_pem + pair("mallory").certificate_pem,
        ],
        ids=["empty", "text", "no certificate", "another certificate"],
    )
    def test_what_is_no_key_with_its_certificate_says_so(self, secret: bytes) -> None:
        with pytest.raises(ProviderDown, match="sp_key"):
            keys.read(secret)


class TestLeaving:
    def kept(self, subject: House) -> bytes:
        keep: bytes = subject.arrive(Said()).keep
        return keep

    def test_the_provider_is_told_who_leaves_which_session(self, subject: House) -> None:
        departure = subject.adapter.leave(self.kept(subject), "back", "the-state")
        assert departure is not None
        assert departure.url.startswith(f"{SLO}?")
        assert "RelayState=the-state" in departure.url
        request = ET.fromstring(message_in(departure.url, "SAMLRequest"))
        assert request.findtext("{*}NameID") == "alice-for-good"
        assert request.findtext("{*}SessionIndex") == "session-of-alice"

    def test_a_provider_without_such_an_address_is_not_told(self, subject: House, tmp_path: Path) -> None:
        keep = self.kept(subject)
        subject.file.write_text(idp_metadata(slo=False))
        assert subject.opened(subject.config).leave(keep, "back", "state") is None


class TestHearing:
    def heard(self, subject: House, xml: str, **how: str) -> Any:
        return subject.adapter.hear(redirected("SAMLRequest", xml, **how))

    def refused(self, subject: House, xml: str, **how: str) -> str:
        with pytest.raises(IdentityRefused) as raised:
            self.heard(subject, xml, **how)
        return raised.value.reason

    def test_whose_session_ends_is_said_and_the_provider_is_answered(self, subject: House) -> None:
        xml = logout_request(id="_ask")
        ended = self.heard(subject, xml, state="theirs")
        assert (ended.issuer, ended.subject, ended.session) == (ISSUER, "alice-for-good", "session-of-alice")
        answer = ET.fromstring(message_in(ended.answer.url, "SAMLResponse"))
        assert (answer.get("InResponseTo"), answer.get("Destination")) == ("_ask", SLO)
        assert "RelayState=theirs" in ended.answer.url

    @pytest.mark.parametrize(
        "sessions", ["", "<samlp:SessionIndex>a</samlp:SessionIndex><samlp:SessionIndex>b</samlp:SessionIndex>"]
    )
    def test_no_session_or_several_are_all_of_the_person(self, subject: House, sessions: str) -> None:
        assert self.heard(subject, logout_request(sessions=sessions)).session == ""

    def test_where_names_do_not_last_the_session_alone_is_said(self, subject: House) -> None:
        adapter = subject.opened(subject.config | {"subject_attribute": "uid"})
        ended = adapter.hear(redirected("SAMLRequest", logout_request()))
        assert ended is not None
        assert (ended.subject, ended.session) == ("", "session-of-alice")
        with pytest.raises(IdentityRefused):
            adapter.hear(redirected("SAMLRequest", logout_request(sessions="")))

    def test_the_answer_to_ours_ends_nothing(self, subject: House) -> None:
        xml = logout_request().replace("LogoutRequest", "LogoutResponse")
        assert subject.adapter.hear(redirected("SAMLResponse", xml)) is None

    def test_the_same_request_again_is_refused(self, subject: House) -> None:
        xml = logout_request()
        self.heard(subject, xml)
        assert self.refused(subject, xml) == "saml_replay"

    def test_a_request_of_somebody_else_is_refused(self, subject: House) -> None:
        assert self.refused(subject, logout_request(), signer="mallory") == "saml_signature"
        assert self.refused(subject, logout_request(issuer="https://other.example")) == "saml_issuer"

    def test_a_request_for_another_address_or_an_old_one_is_refused(self, subject: House) -> None:
        assert self.refused(subject, logout_request(destination=ACS)) == "saml_destination"
        assert self.refused(subject, logout_request(until=at(-300))) == "saml_expired"

    def test_another_algorithm_is_refused(self, subject: House) -> None:
        for algorithm in ("http://www.w3.org/2000/09/xmldsig#rsa-sha1", "", "none"):
            assert self.refused(subject, logout_request(), algorithm=algorithm) == "saml_algorithm"

    def test_an_unsigned_or_doubly_said_request_is_refused(self, subject: House) -> None:
        query = redirected("SAMLRequest", logout_request()).query
        unsigned = query.partition("&SigAlg")[0]
        for changed, reason in ((unsigned, "saml_unsigned"), (f"{query}&SAMLRequest=x", "saml_parameter_twice")):
            with pytest.raises(IdentityRefused) as raised:
                subject.adapter.hear(landed(f"{LOGOUT}?{changed}"))
            assert raised.value.reason == reason

    def test_a_sign_in_answer_is_no_logout(self, subject: House) -> None:
        xml = Said(request="_x", destination=LOGOUT).signed()
        with pytest.raises(IdentityRefused):
            subject.adapter.hear(redirected("SAMLResponse", xml))


class TestVouching:
    """RFC 7522 section 3."""

    audience, recipient = "https://gate.example", "https://gate.example/oauth/token"

    def said(self, **changes: Any) -> Said:
        return Said(audience=self.audience, recipient=self.recipient).but(**changes)

    def vouched(self, subject: House, xml: str) -> Any:
        credential = base64.urlsafe_b64encode(xml.encode()).decode().rstrip("=")
        return subject.adapter.vouch(credential, self.audience, self.recipient)

    def refused(self, subject: House, xml: str) -> str:
        with pytest.raises(IdentityRefused) as raised:
            self.vouched(subject, xml)
        return raised.value.reason

    def test_an_assertion_for_us_says_who_it_is(self, subject: House) -> None:
        found = self.vouched(subject, self.said().signed_assertion())
        assert (found.issuer, found.subject, found.groups) == (ISSUER, "alice-for-good", {"devs", "eng"})

    def test_it_answers_for_its_own_issuer_alone(self, subject: House) -> None:
        assert subject.adapter.answers_for(ISSUER)
        assert not subject.adapter.answers_for(ISSUER + "/")

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"audience": "https://other.example"}, "audience"),
            ({"audience": SP_ENTITY}, "audience"),
            ({"recipient": ACS}, "recipient"),
            ({"confirmed_until": at(-300)}, "expired"),
            ({"until": at(-300)}, "expired"),
            ({"confirmed_request": "_some"}, "in_response_to"),
            ({"issuer": "https://other.example"}, "issuer"),
            ({"method": "http://www.w3.org/2000/09/xmldsig#rsa-sha1"}, "algorithm"),
            ({"signer": "mallory"}, "signature"),
        ],
    )
    def test_one_that_is_not_for_us_or_not_of_now_is_refused(
        self, subject: House, changes: dict[str, str], reason: str
    ) -> None:
        assert self.refused(subject, self.said(**changes).signed_assertion()) == f"saml_{reason}"

    def test_one_that_is_not_signed_itself_is_refused(self, subject: House) -> None:
        assert self.refused(subject, self.said(sign_assertion=False).assertion()) == "saml_unsigned"

    def test_a_whole_response_is_refused_though_it_holds_one(self, subject: House) -> None:
        assert self.refused(subject, self.said(request="_x").signed()) == "saml_not_an_assertion"

    def test_two_around_each_other_are_refused(self, subject: House) -> None:
        inner = self.said().signed_assertion()
        outer = self.said(person="admin", sign_assertion=False).assertion()
        wrapped = outer.replace("<saml:AuthnStatement", f"<saml:Advice>{inner}</saml:Advice><saml:AuthnStatement")
        assert self.refused(subject, wrapped) == "saml_assertions"

    @pytest.mark.parametrize("credential", ["", "%", "a+b/", "PHg-", "e30", "a.b.c", "x" * 500_000])
    def test_what_is_no_assertion_in_base64url_is_refused(self, subject: House, credential: str) -> None:
        with pytest.raises(IdentityRefused):
            subject.adapter.vouch(credential, self.audience, self.recipient)


class TestChecking:
    def test_each_step_is_named_and_the_last_says_what_comes_next(self, subject: House) -> None:
        findings = list(subject.adapter.check())
        assert [finding.step for finding in findings][:5] == ["xmlsec1", "our key", "metadata", "clock", "what it says"]
        assert SP_ENTITY in findings[-1].words

    def test_the_entity_that_the_metadata_has_instead_is_named(self, subject: House) -> None:
        subject.file.write_text(idp_metadata("https://other.example/idp"))
        *_, last = subject.adapter.check()
        assert not last.ok
        assert "https://other.example/idp" in last.words

    @pytest.mark.parametrize(("ahead", "words"), [(600, "seconds ahead of"), (-600, "seconds behind")])
    def test_a_clock_that_is_wrong_is_named(self, ahead: float, words: str) -> None:
        *_, last = SamlProvider(SamlConfig(**FETCHED), _equipped(ahead)).check()
        assert (last.step, last.ok) == ("clock", False)
        assert words in last.words

    def test_a_clock_that_is_right_is_found_right(self) -> None:
        findings = list(SamlProvider(SamlConfig(**FETCHED), _equipped(0)).check())
        assert not [finding for finding in findings if not finding.ok]

    def test_a_key_that_was_lost_is_named(self, tmp_path: Path) -> None:
        *_, last = House(tmp_path, equipment()).adapter.check()
        assert (last.step, last.ok) == ("our key", False)
        assert "sp_key" in last.words


FETCHED: dict[str, Any] = {"entity_id": ISSUER, "metadata_url": "https://idp.example/metadata"}


def _equipped(ahead: float) -> Any:
    """A clock that is so far ahead of the provider's."""

    class Web:
        def send(self, *_: Any, **__: Any) -> HttpAnswer:
            return HttpAnswer(200, {"date": formatdate(usegmt=True)}, idp_metadata().encode())

    return equipment(secrets={"sp_key": sp_secret()}, http=Web(), now=lambda: time.time() + ahead)
