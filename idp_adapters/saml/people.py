"""From what a SAML provider states to somebody: its NameID and attributes as an external identity, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self

import msgspec

from idp_adapters.contract import GROUPS, ExternalIdentity
from idp_adapters.saml.judging import NameId
from idp_adapters.saml.shape import SAML, refused, text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from xml.etree.ElementTree import Element

    from idp_adapters.saml.config import SamlConfig
    from idp_adapters.saml.judging import Statement

PERSISTENT: Final = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
OVERAGE: Final = "http://schemas.microsoft.com/claims/groups.link"  # stands where more than 150 groups would
METHODS: Final = "http://schemas.microsoft.com/claims/authnmethodsreferences"
_CLASSES: Final = "urn:oasis:names:tc:SAML:2.0:ac:classes:"
# What providers call the ways of proving who one is, in the words of RFC 8176, so that one rule does for all of them
_AMR: Final = {
    f"{_CLASSES}Password": "pwd",
    f"{_CLASSES}PasswordProtectedTransport": "pwd",
    f"{_CLASSES}Kerberos": "wia",
    f"{_CLASSES}SmartcardPKI": "sc",
    f"{_CLASSES}TimeSyncToken": "otp",
    f"{_CLASSES}MobileTwoFactorContract": "mfa",
    "https://refeds.org/profile/mfa": "mfa",
    "http://schemas.microsoft.com/claims/multipleauthn": "mfa",
}
MOST_VALUES = 2000
LONGEST_VALUE = 1024


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What a logout needs: the provider's own words for the person and the session."""

    value: str
    format: str
    name_qualifier: str
    sp_name_qualifier: str
    session: str

    @classmethod
    def of(cls, statement: Statement) -> Self:
        name_id = statement.name_id
        return cls(
            value=name_id.value,
            format=name_id.format,
            name_qualifier=name_id.name_qualifier,
            sp_name_qualifier=name_id.sp_name_qualifier,
            session=statement.session,
        )

    @property
    def name_id(self) -> NameId:
        return NameId(
            value=self.value,
            format=self.format,
            name_qualifier=self.name_qualifier,
            sp_name_qualifier=self.sp_name_qualifier,
        )


def identify(statement: Statement, config: SamlConfig) -> ExternalIdentity:
    """Who it is. Raises IdentityRefused when nothing in the statement names them for good."""
    said = _Attributes(statement.attributes)
    if said.has(OVERAGE):
        words = "you are in more groups than the identity provider puts in a statement: it has to send fewer of them"
        raise refused("overage", words)
    if config.authn_contexts and statement.acr not in config.authn_contexts:
        raise refused("context", "the identity provider did not sign you in in the way that is demanded here")
    subject = _subject(statement, said, config)
    return ExternalIdentity(
        issuer=config.entity_id,
        subject=subject,
        login=said.first(config.login_attributes) or subject,
        name=said.first(config.name_attributes),
        email=said.first(config.email_attributes),
        claims={
            GROUPS: said.all(config.group_attributes),
            **{name: said.all((name,)) for name in config.carry if said.has(name)},
        },
        authenticated_at=statement.authenticated_at,
        acr=statement.acr,
        amr=tuple(sorted({_AMR[way] for way in (statement.acr, *said.all((METHODS,))) if way in _AMR})),
        session=statement.session,
        keep=msgspec.json.encode(Kept.of(statement)),
    )


def kept(keep: bytes) -> Kept:
    return msgspec.json.decode(keep, type=Kept)


def _subject(statement: Statement, said: _Attributes, config: SamlConfig) -> str:
    if config.subject_attribute:
        values = said.all((config.subject_attribute,))
        if len(values) != 1 or not (value := next(iter(values))) or len(value) > 256:
            raise refused("subject", "the identity provider does not send the one attribute that names you for good")
        return value
    if statement.name_id.format != PERSISTENT:
        words = "the identity provider does not name you for good: it has to send a persistent NameID"
        raise refused("name_id_format", words)
    return statement.name_id.value


class _Attributes:
    """Attributes by their Name. Read only where asked for: what nobody asks for may look as it likes."""

    def __init__(self, attributes: Iterable[Element]) -> None:
        self._by_name: dict[str, list[Element]] = {}
        for attribute in attributes:
            self._by_name.setdefault(attribute.get("Name", ""), []).append(attribute)

    def has(self, name: str) -> bool:
        return name in self._by_name

    def first(self, names: Iterable[str]) -> str:
        """The first value of the first of the names that has one."""
        return next((value for name in names for value in self._values(name)), "")

    def all(self, names: Iterable[str]) -> frozenset[str]:
        """All values of the first of the names that is there."""
        return next((frozenset(self._values(name)) for name in names if self.has(name)), frozenset())

    def _values(self, name: str) -> Iterator[str]:
        values = [
            text(value)
            for attribute in self._by_name.get(name, ())
            for value in attribute.iterfind(f"{{{SAML}}}AttributeValue")
        ]
        if len(values) > MOST_VALUES or any(len(value) > LONGEST_VALUE for value in values):
            raise refused("attribute_size", "the identity provider sends more about you than we take")
        return (value for value in values if value)
