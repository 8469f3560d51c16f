"""`minted`: a short token of ours that the server checks with our public keys, so that it can trust us directly.

It is an access token as RFC 9068 has them: for the server alone, about one person, naming who acts for them, good for
the one tool that is called. Without a `scope` it is ours, to read what the server offers, and good for no tool.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from authz.tokens.minting import TYP
from gateway.credentials.derived.bearing import bearer
from gateway.credentials.derived.signing import Statement, sign
from registry.credentials.modes.minted import MintedSettings

if TYPE_CHECKING:
    from gateway.credentials import Asked, Held
    from gateway.credentials.equipment import Equipment

LIFE: Final = 120  # seconds, as of our own tool tokens
_IN_A_SCOPE: Final = "".join(map(chr, range(0x21, 0x7F))).translate({ord(char): None for char in '"\\%'})


class Minted:
    """`Source`."""

    def __init__(self, equipment: Equipment) -> None:
        self._equipment = equipment

    def obtain(self, asked: Asked) -> Held:
        settings = asked.upstream.auth_settings
        assert isinstance(settings, MintedSettings)
        audience = settings.audience or asked.upstream.url
        said = Statement(audience=audience, typ=TYP, life=LIFE, claims={"scope": _scope(asked.key.tool)})
        signed = sign(self._equipment, asked, said)
        return bearer(asked, signed.token, self._equipment.clock(), signed.until)


def _scope(object_: str) -> str:
    """As policy calls it; what no scope can spell is spelled as in an address (RFC 6749 section 3.3, RFC 3986)."""
    return quote(object_, safe=_IN_A_SCOPE)
