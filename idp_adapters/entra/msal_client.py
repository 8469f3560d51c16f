"""MSAL behind our own way out. It speaks Entra's dialect; it believes what it is told, so nothing here is believed yet.

A client is made for each act, with a token cache of that one sign-in: nothing of one person is ever near another's.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlencode

import msal
import msgspec

from idp_adapters.contract import IdentityRefused, ProviderDown
from idp_adapters.oidc.discovery import TIMEOUT, read_object

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from idp_adapters.contract import Equipment, HttpAnswer
    from idp_adapters.entra.config import EntraConfig
    from idp_adapters.oidc.discovery import Issuer

ANSWER_LIMIT = 256 * 1024
ENDED = frozenset({"invalid_grant", "interaction_required", "login_required", "consent_required"})

SURPRISES = (ValueError, LookupError, TypeError, AttributeError)  # MSAL on a token that is none

# It logs answers that it cannot read, and on the debug level whole requests: tokens are in both.
logging.getLogger("msal").setLevel(logging.CRITICAL + 1)


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer as MSAL wants one (`msal.oauth2cli.http.Response`)."""

    status_code: int
    text: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)

    def raise_for_status(self) -> None:
        """Never needed: what MSAL would ask about has been refused before."""


class WayOut:
    """MSAL's `http_client`, without an environment that could lead elsewhere, without retries, without redirects."""

    def __init__(self, equipment: Equipment, issuer: Issuer) -> None:
        self._equipment = equipment
        self._issuer = issuer

    def get(self, url: str, params: Mapping[str, str] | None = None, **_: Any) -> Answered:
        """The discovery document that was judged, where MSAL would fetch one and judge nothing; else nothing."""
        if url != self._issuer.metadata_url or params:
            raise ProviderDown("unexpected", "the library wanted to ask an address that is none of this provider")
        return Answered(200, msgspec.json.encode(self._issuer.metadata().document).decode(), {})

    def post(self, url: str, params: Any = None, data: Any = None, headers: Any = None, **_: Any) -> Answered:
        """To the token endpoint alone."""
        if url != self._issuer.metadata().token_endpoint or params:
            raise ProviderDown("unexpected", "the library wanted to ask an address that is none of this provider")
        form = data if isinstance(data, str) else urlencode(data or {})
        said = {name: str(value) for name, value in (headers or {}).items()}
        said["content-type"] = "application/x-www-form-urlencoded"
        answer = self._equipment.http.send(
            "POST", url, headers=said, body=form.encode(), limit=ANSWER_LIMIT, timeout=TIMEOUT
        )
        return _readable(answer)

    def close(self) -> None:
        """There is nothing to close."""


def client(config: EntraConfig, equipment: Equipment, issuer: Issuer, authority: str, cache: str = "") -> Any:
    """A confidential client at `authority`, whose tokens so far are in `cache`."""
    tokens = msal.SerializableTokenCache()
    try:
        if cache:
            tokens.deserialize(cache)
        return msal.ConfidentialClientApplication(
            config.client_id,
            client_credential=_credential(config, equipment),
            authority=authority,
            instance_discovery=False,  # or it asks login.microsoftonline.com about every other authority
            http_client=WayOut(equipment, issuer),
            token_cache=tokens,
        )
    except SURPRISES:  # their texts quote what it was given
        raise ProviderDown("client", "the certificate, its key or the authority cannot be used") from None


def acquired(acquire: Callable[[], Mapping[str, Any] | None]) -> Mapping[str, Any]:
    """What MSAL brings, if it is an answer with tokens. What surprises it is a provider that answers as none would."""
    try:
        result = acquire()
    except RuntimeError:  # MSAL's own, for a nonce of another sign-in; like all its texts, this one quotes tokens
        raise IdentityRefused("id_token_nonce", "the answer belongs to another sign-in; start again") from None
    except SURPRISES:
        raise ProviderDown("token_answer", "Entra ID answered with what is no token") from None
    if result is None:
        raise ProviderDown("not_renewable", "nothing was kept to ask Entra ID again with")
    if "error" in result:
        refuse(result["error"])
    if not isinstance(result.get("access_token"), str):
        raise ProviderDown("token_answer", "Entra ID answered without a token")
    return result


def refuse(error: Any) -> NoReturn:
    """RFC 6749 section 5.2; the description is Entra's, and not shown."""
    if not isinstance(error, str):
        raise ProviderDown("token_endpoint", "Entra ID gave no token")
    if error in ENDED:
        raise IdentityRefused("invalid_grant", "Entra ID has ended this sign-in or wants to ask again; start it again")
    if error in {"invalid_client", "unauthorized_client"}:
        raise ProviderDown("invalid_client", "Entra ID does not accept the client id, its secret or its certificate")
    raise ProviderDown("token_endpoint", "Entra ID gave no token")


def _credential(config: EntraConfig, equipment: Equipment) -> str | dict[str, str]:
    """A secret; or a key and its certificate, which MSAL proves with PS256 and `x5t#S256`."""
    if not config.certificate:
        return equipment.secret("client_secret").decode().strip()
    return {"private_key": equipment.secret("certificate_key").decode(), "public_certificate": config.certificate}


def _readable(answer: HttpAnswer) -> Answered:
    if answer.status >= 500 or answer.status == 429:
        raise ProviderDown("http_status", f"Entra ID answered {answer.status}")
    read_object(answer.body, "Entra ID's answer")
    return Answered(answer.status, answer.body.decode(), dict(answer.headers))
