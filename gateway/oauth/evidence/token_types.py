"""What kinds of token are exchanged here, by name (RFC 8693 section 3)."""

from __future__ import annotations

from typing import Final

ACCESS_TOKEN: Final = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a name
JWT: Final = "urn:ietf:params:oauth:token-type:jwt"
ID_TOKEN: Final = "urn:ietf:params:oauth:token-type:id_token"  # noqa: S105 - a name
SAML2: Final = "urn:ietf:params:oauth:token-type:saml2"
DELEGATION: Final = "urn:ostiary:params:oauth:token-type:delegation"
