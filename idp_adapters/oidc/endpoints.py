"""What we ask an OpenID provider directly: tokens for a code, newer ones, and who somebody is."""

from __future__ import annotations

import base64
import re
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

from authlib.common.urls import add_params_to_qs
from authlib.oauth2.auth import ClientAuth
from authlib.oauth2.rfc6749.parameters import prepare_token_request
from authlib.oauth2.rfc7523.client import ASSERTION_TYPE

from idp_adapters.contract import IdentityRefused, ProviderDown
from idp_adapters.oidc.discovery import TIMEOUT, read_object

if TYPE_CHECKING:
    from collections.abc import Mapping

    from idp_adapters.contract import Equipment
    from idp_adapters.oidc.config import OidcConfig

ANSWER_LIMIT = 256 * 1024
ASSERTION_LIFE = 60  # seconds
LONGEST_TOKEN = 32 * 1024


@dataclass(frozen=True, slots=True)
class Tokens:
    """RFC 6749 section 5.1. What is missing is empty."""

    id_token: str = field(repr=False)
    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class TokenProblem:
    """RFC 6749 section 5.2, without its free text, which is not ours to show."""

    status: int
    error: str


class Endpoints:
    """Of one provider, asked as one client."""

    def __init__(self, config: OidcConfig, equipment: Equipment) -> None:
        self._config = config
        self._equipment = equipment

    def redeem(self, url: str, code: str, callback: str, verifier: str) -> Tokens:
        """Core section 3.1.3.1 with RFC 7636. The code is worth nothing to whoever does not have the verifier."""
        return self._tokens(
            self.ask(url, "authorization_code", code=code, redirect_uri=callback, code_verifier=verifier)
        )

    def refresh(self, url: str, refresh_token: str) -> Tokens:
        """Core section 12. IdentityRefused: the provider ended what the token stood for."""
        return self._tokens(self.ask(url, "refresh_token", refresh_token=refresh_token))

    def ask(self, url: str, grant_type: str, **parameters: str) -> Mapping[str, Any] | TokenProblem:
        """The answer of the token endpoint, as it came."""
        headers = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}
        form = prepare_token_request(grant_type, **parameters)
        _, headers, form = self._authentication().prepare("POST", url, headers, form)
        answer = self._equipment.http.send(
            "POST", url, headers=headers, body=form.encode(), limit=ANSWER_LIMIT, timeout=TIMEOUT
        )
        if answer.status >= 500:
            raise ProviderDown("http_status", f"the token endpoint answered {answer.status}")
        read = read_object(answer.body, "the token endpoint's answer")
        if answer.status != 200 or "error" in read:
            return TokenProblem(answer.status, _code(read.get("error")))
        return read

    def userinfo(self, url: str, access_token: str, subject: str) -> Mapping[str, Any]:
        """Core section 5.3. An answer about somebody else is none (section 5.3.2)."""
        headers = {"authorization": f"Bearer {access_token}", "accept": "application/json"}
        answer = self._equipment.http.send("GET", url, headers=headers, body=b"", limit=ANSWER_LIMIT, timeout=TIMEOUT)
        if answer.status != 200:
            raise ProviderDown("userinfo", f"the userinfo endpoint answered {answer.status}")
        claims = read_object(answer.body, "the userinfo endpoint's answer")
        if claims.get("sub") != subject:
            raise IdentityRefused("userinfo_sub", "the identity provider spoke of two different people")
        return claims

    def _tokens(self, answer: Mapping[str, Any] | TokenProblem) -> Tokens:
        if isinstance(answer, TokenProblem):
            raise _worded(answer)
        return Tokens(*(_token(answer, name) for name in ("id_token", "access_token", "refresh_token")))

    def _authentication(self) -> ClientAuth:
        method = self._config.client_auth
        if method == "private_key_jwt":
            return ClientAuth(self._config.client_id, None, self._signed)
        secret = self._equipment.secret("client_secret").decode().strip()
        basic = method == "client_secret_basic"
        return ClientAuth(self._config.client_id, secret, _basic if basic else method)

    def _signed(self, client: ClientAuth, _method: str, uri: str, headers: dict[str, str], body: str) -> Any:
        """RFC 7523 section 2.2."""
        now = int(self._equipment.now())
        claims = {
            "iss": client.client_id, "sub": client.client_id, "aud": uri,
            "jti": secrets.token_urlsafe(16), "iat": now, "exp": now + ASSERTION_LIFE,
        }  # fmt: skip
        key = self._equipment.secret("client_key")
        assertion = self._equipment.sign_jwt(claims, key, self._config.client_key_id)
        proof = [
            ("client_id", client.client_id), ("client_assertion_type", ASSERTION_TYPE), ("client_assertion", assertion)
        ]  # fmt: skip
        return uri, headers, add_params_to_qs(body, proof)


def _basic(client: ClientAuth, _method: str, uri: str, headers: dict[str, str], body: str) -> Any:
    """RFC 6749 section 2.3.1: both parts are form-encoded first, which Authlib leaves out."""
    pair = f"{quote_plus(client.client_id)}:{quote_plus(client.client_secret)}"
    return uri, headers | {"authorization": "Basic " + base64.b64encode(pair.encode()).decode()}, body


def _token(answer: Mapping[str, Any], name: str) -> str:
    value = answer.get(name, "")
    if not isinstance(value, str) or len(value) > LONGEST_TOKEN or not (value.isascii() and value.isprintable()):
        raise ProviderDown("token_answer", f"the token endpoint's {name} is not a token")
    return value


def _code(error: Any) -> str:
    """As it stands only where it is a word: it is shown."""
    return error if isinstance(error, str) and re.fullmatch("[a-z_]{1,40}", error) else "something unreadable"


def _worded(problem: TokenProblem) -> IdentityRefused | ProviderDown:
    if problem.error == "invalid_grant":
        return IdentityRefused("invalid_grant", "the identity provider has ended this sign-in; start it again")
    if problem.error in {"invalid_client", "unauthorized_client"}:
        return ProviderDown(problem.error, "the identity provider does not accept our client id or its secret")
    return ProviderDown("token_endpoint", f"the token endpoint answered {problem.status} without a token")
