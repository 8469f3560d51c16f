"""What things are called in a directory: by what its server says of itself, and by what was configured instead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ldap.filter import escape_filter_chars

from idp_adapters.contract import ProviderDown
from idp_adapters.directory.channel import DOWN
from idp_adapters.directory.connection import BASE, SUBTREE, Row
from idp_adapters.directory.groups import Where

if TYPE_CHECKING:
    from idp_adapters.directory.config import LdapConfig
    from idp_adapters.directory.connection import Conversation

ACTIVE_DIRECTORY: Final = "1.2.840.113556.1.4.800"  # LDAP_CAP_ACTIVE_DIRECTORY_OID, MS-ADTS 3.1.1.3.4.3
POLICY_CONTROL: Final = "1.3.6.1.4.1.42.2.27.8.5.1"  # draft-behera-ldap-password-policy section 6.1
ROOT: Final = ("supportedControl", "supportedCapabilities", "configurationNamingContext", "defaultNamingContext")
ONLY_THERE: Final = frozenset({"in-chain", "token-groups"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    active_directory: bool
    domain: str  # of Active Directory: what may stand before a backslash in a login
    password_policy: bool  # whether the server knows the control
    login: str
    id: str
    people: str  # a filter
    how: str  # groups are found
    groups: Where


def read_schema(talk: Conversation, config: LdapConfig) -> Schema:
    """Raises ProviderDown where groups are to be found in a way that this server would answer emptily."""
    said = _said_of_itself(talk)
    active = _is_active_directory(said, config)
    if config.groups in ONLY_THERE and not active:
        raise ProviderDown("not_active_directory", DOWN)
    return Schema(
        active_directory=active,
        domain=_domain(talk, said) if active else "",
        password_policy=POLICY_CONTROL in said.texts("supportedControl"),
        login=config.login_attribute or ("sAMAccountName" if active else "uid"),
        id=config.id_attribute or ("objectGUID" if active else "entryUUID"),
        people=config.people_filter or _people(active),
        how=config.groups if config.groups != "auto" else ("token-groups" if active else "walk"),
        groups=Where(
            base=config.group_base or config.base,
            filter=config.group_filter or _groups(active),
            member=config.member_attribute,
        ),
    )


def _said_of_itself(talk: Conversation) -> Row:
    """The rootDSE (RFC 4512 section 5.1)."""
    rows = talk.search("", BASE, "(objectClass=*)", list(ROOT), 1)
    return rows[0] if rows else Row("", {})


def _is_active_directory(said: Row, config: LdapConfig) -> bool:
    if config.server != "auto":
        return config.server == "active-directory"
    return ACTIVE_DIRECTORY in said.texts("supportedCapabilities")


def _domain(talk: Conversation, said: Row) -> str:
    """The old short name of the domain. Where it cannot be read, nobody can sign in with it."""
    partitions = f"CN=Partitions,{said.text('configurationNamingContext')}"
    mine = escape_filter_chars(said.text("defaultNamingContext"))
    try:
        rows = talk.search(partitions, SUBTREE, f"(nCName={mine})", ["nETBIOSName"], 1)
    except ProviderDown:
        return ""
    return rows[0].text("nETBIOSName") if rows else ""


def _people(active: bool) -> str:
    return "(&(objectCategory=person)(objectClass=user))" if active else "(objectClass=person)"


def _groups(active: bool) -> str:
    if active:
        return "(objectClass=group)"
    return "(|(objectClass=groupOfNames)(objectClass=groupOfUniqueNames)(objectClass=posixGroup))"
