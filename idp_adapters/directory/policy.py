"""What a login and a password may look like before anything is connected to."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Final

from idp_adapters.contract import IdentityRefused

LOGIN: Final = 256  # characters
PASSWORD: Final = 1024  # bytes; what is longer is no password but a load on the directory
PUNCTUATION: Final = frozenset("._-@+'")
WRONG: Final = "The name or the password is wrong, or the account is locked."


@dataclass(frozen=True, slots=True)
class Login:
    """A name as somebody typed it. `domain` is what stood before a backslash, as in the old form of Windows."""

    name: str
    domain: str = ""

    @property
    def is_principal_name(self) -> bool:
        """Active Directory's userPrincipalName is written like an e-mail address."""
        return "@" in self.name


def read_login(typed: object) -> Login:
    """Raises IdentityRefused for whatever is no plain name, so that escaping is never the only thing in the way."""
    if not isinstance(typed, str) or not 0 < len(typed) <= LOGIN:
        raise _refused("login_form")
    domain, backslash, name = typed.rpartition("\\")
    parts = (domain, name) if backslash else (name,)
    if not all(_is_plain(part) for part in parts) or (backslash and "@" in typed):
        raise _refused("login_form")
    return Login(name, domain)


def read_password(typed: object) -> str:
    """An empty password binds as nobody, which many servers call success (RFC 4513 section 5.1.2): never sent."""
    if not isinstance(typed, str) or not typed.strip() or "\0" in typed:
        raise _refused("password_form")
    if len(typed.encode(errors="surrogatepass")) > PASSWORD or _has_surrogates(typed):
        raise _refused("password_form")
    return typed


def _is_plain(name: str) -> bool:
    """Letters and digits of one script in their plainest form: directories match fullwidth and other twins as equal."""
    if not name or not name[0].isalnum() or unicodedata.normalize("NFKC", name) != name:
        return False
    letters = [character for character in name if character not in PUNCTUATION]
    if any(unicodedata.category(letter)[0] not in "LMN" for letter in letters):
        return False
    return len({_script(letter) for letter in letters if letter.isalpha()}) <= 1


def _script(letter: str) -> str:
    """The first word of a letter's name says its script nearly always: LATIN, CYRILLIC, GREEK."""
    return unicodedata.name(letter, "?").partition(" ")[0]


def _has_surrogates(text: str) -> bool:
    return any(unicodedata.category(character) == "Cs" for character in text)


def _refused(reason: str) -> IdentityRefused:
    return IdentityRefused(reason, WRONG)
