"""What the portal answers to a call without a good token (RFC 6750 section 3, RFC 9728 section 5.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from authz.jose import FOREIGN_ALGORITHMS
from authz.scopes import ALL

if TYPE_CHECKING:
    from authz.assurance import Assurance

HEADER = b"www-authenticate"


def challenge_401(resource_metadata_url: str, *, invalid: bool, scope: str = ALL) -> tuple[bytes, bytes]:
    """Where to get a token. `invalid` when one was sent: only then is an error named."""
    error = 'error="invalid_token", ' if invalid else ""
    return HEADER, f'Bearer {error}resource_metadata="{resource_metadata_url}", scope="{scope}"'.encode()


def challenge_dpop(resource_metadata_url: str, *, bearer: bool) -> tuple[bytes, bytes]:
    """A proof that is none, or a bound token that came as a bearer token (RFC 9449 sections 7.1 and 7.2)."""
    error = "invalid_token" if bearer else "invalid_dpop_proof"
    algorithms = " ".join(sorted(FOREIGN_ALGORITHMS))
    return HEADER, f'DPoP error="{error}", algs="{algorithms}", resource_metadata="{resource_metadata_url}"'.encode()


def invite_dpop(resource_metadata_url: str) -> tuple[bytes, bytes]:
    """What would help is a token that is bound to a key. Beside a refusal in words: RFC 9110 section 11.6.1 lets any
    answer say so, and a client that cannot do it would throw away a good token, or send its person round for nothing.
    """
    algorithms = " ".join(sorted(FOREIGN_ALGORITHMS))
    return HEADER, f'DPoP algs="{algorithms}", resource_metadata="{resource_metadata_url}"'.encode()


def challenge_403(
    resource_metadata_url: str, *, scope: str, description: str = "", needs: Assurance | None = None
) -> tuple[bytes, bytes]:
    """A token that is good but too narrow: `scope` is all that this operation needs (MCP authorization, step-up).

    With `needs` it is too weak, and what is asked for stands in the parameters of RFC 9470 section 3. The error and the
    status stay those that MCP clients know: on RFC 9470's own, which is a 401, they would throw away a good token.
    """
    words = f', error_description="{_quotable(description)}"' if description else ""
    words += f', acr_values="{" ".join(needs.acr)}"' if needs is not None and needs.acr else ""
    words += f', max_age="{needs.max_age}"' if needs is not None and needs.max_age else ""
    value = f'Bearer error="insufficient_scope", scope="{scope}", resource_metadata="{resource_metadata_url}"{words}'
    return HEADER, value.encode()


def _quotable(text: str) -> str:
    """RFC 6750 section 3: printable ASCII without quote and backslash."""
    return "".join(char if " " <= char <= "~" and char not in '"\\' else "'" for char in text[:300])
