"""Why a directory did not accept a password: the code for the record, and a sentence for whoever may know it.

Somebody who does not know the password is told nothing about the account. So only codes that servers send after a right
password have a sentence of their own; "locked" is sent with any password and has none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from idp_adapters.contract import IdentityRefused
from idp_adapters.directory.policy import WRONG

EXPIRED: Final = "Your password has expired. Change it where you change your company password, then sign in again."
CHANGE: Final = "You have to choose a new password first. Do so where you change your company password, then sign in."
DISABLED: Final = "Your account is disabled. Ask whoever looks after the accounts."
ENDED: Final = "Your account has expired. Ask whoever looks after the accounts."
NOT_NOW: Final = "Your account may not sign in at this time or from here. Ask whoever looks after the accounts."

CODE: Final = re.compile(r"\bdata ([0-9a-fA-F]{2,8})\b")


@dataclass(frozen=True, slots=True)
class Cause:
    reason: str
    words: str = WRONG


# draft-behera-ldap-password-policy section 6.2
PASSWORD_POLICY: Final = {
    0: Cause("password_expired", EXPIRED),
    1: Cause("account_locked"),
    2: Cause("password_must_change", CHANGE),
}
# The Win32 codes in the text of Active Directory's answer to a bind
ACTIVE_DIRECTORY: Final = {
    "525": Cause("unknown_account"),
    "52e": Cause("wrong_password"),
    "530": Cause("outside_logon_hours", NOT_NOW),
    "531": Cause("wrong_workstation", NOT_NOW),
    "532": Cause("password_expired", EXPIRED),
    "533": Cause("account_disabled", DISABLED),
    "701": Cause("account_expired", ENDED),
    "773": Cause("password_must_change", CHANGE),
    "775": Cause("account_locked"),
}


def wrong(reason: str) -> IdentityRefused:
    """For everything that nobody is told: no such person, several, a wrong password."""
    return IdentityRefused(reason, WRONG)


def by_policy(code: int) -> IdentityRefused:
    cause = PASSWORD_POLICY.get(code, Cause("password_policy"))
    return IdentityRefused(f"{cause.reason}.policy_{code}", cause.words)


def by_text(text: str) -> IdentityRefused:
    """From the diagnostic message, which itself is never shown or kept."""
    found = CODE.search(text[:1000])
    if found is None:
        return wrong("wrong_password")
    code = found[1].lower()
    cause = ACTIVE_DIRECTORY.get(code, Cause("refused"))
    return IdentityRefused(f"{cause.reason}.{code}", cause.words)
