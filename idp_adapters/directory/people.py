"""One person's entry: what is asked of it, whether it is in use, and what it says."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Final

from idp_adapters.contract import GROUPS, ProviderDown
from idp_adapters.directory import names

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from idp_adapters.directory.connection import Row
    from idp_adapters.directory.groups import Group
    from idp_adapters.directory.policy import Login
    from idp_adapters.directory.schema import Schema

GROUP_NAMES: Final = (
    "group_dns"  # the claim with the groups' whole names, where short ones are not one person's to give
)
STATE: Final = ("userAccountControl", "accountExpires", "nsAccountLock", "pwdAccountLockedTime")
SHOWN: Final = ("displayName", "cn", "mail")
FOR_GROUPS: Final = ("memberOf", "objectSid", "primaryGroupID")

DISABLED: Final = 0x2  # of userAccountControl, MS-ADTS 2.2.16
NEVER: Final = frozenset({0, 2**63 - 1})  # of accountExpires
EPOCH: Final = 11_644_473_600  # seconds from 1601 to 1970
FOR_GOOD: Final = "000001010000Z"  # of pwdAccountLockedTime: by an administrator, draft-behera section 5.3.3
LENGTH: Final = 256  # characters of one text
CARRIED: Final = 200  # values of one carried attribute
NO_ID: Final = "The directory does not say who you are in a way that lasts. Ask whoever looks after it."


def attributes(schema: Schema, carry: Iterable[str]) -> list[str]:
    return [schema.login, schema.id, *STATE, *SHOWN, *FOR_GROUPS, "userPrincipalName", *carry]


def is_asked_for(row: Row, login: Login, schema: Schema) -> bool:
    """A directory matches more than equals: Active Directory finds José when asked for jose."""
    known = row.texts(login_attribute(login, schema))
    if not any(name.casefold() == login.name.casefold() for name in known):
        return False
    return not login.domain or login.domain.casefold() == schema.domain.casefold()


def login_attribute(login: Login, schema: Schema) -> str:
    return "userPrincipalName" if schema.active_directory and login.is_principal_name else schema.login


def is_disabled(row: Row, now: float) -> bool:
    """Of Active Directory, 389 Directory Server, OpenLDAP. Locked for a while is not disabled."""
    if _number(row.text("userAccountControl")) & DISABLED:
        return True
    ends = _number(row.text("accountExpires"))
    if ends not in NEVER and ends / 10_000_000 - EPOCH <= now:
        return True
    return row.text("nsAccountLock").lower() == "true" or row.text("pwdAccountLockedTime") == FOR_GOOD


def subject(row: Row, schema: Schema) -> str:
    values = row.values(schema.id)
    if len(values) != 1:
        raise ProviderDown("no_lasting_id", NO_ID)
    return names.subject(schema.id, values[0])


def claims(row: Row, groups: Collection[Group], carry: Iterable[str]) -> Mapping[str, frozenset[str]]:
    carried = {name: frozenset(value[:LENGTH] for value in row.texts(name)[:CARRIED]) for name in carry}
    return carried | {
        GROUPS: frozenset(group.name[:LENGTH] for group in groups),
        GROUP_NAMES: frozenset(names.canonical(group.dn) for group in groups),
    }


def shown(*texts: str) -> str:
    """The first of them that is there, without what could turn, hide or end a line."""
    first = next((text for text in texts if text.strip()), "")
    return "".join(character for character in first if unicodedata.category(character)[0] != "C")[:LENGTH].strip()


def _number(text: str) -> int:
    return int(text) if text.removeprefix("-").isdecimal() and len(text) <= 20 else 0
