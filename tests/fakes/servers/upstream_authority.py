"""An authorization server for the accounts of MCP servers, which does as it is told, also what none should."""

from __future__ import annotations

import base64
import json
import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote_plus, urlencode, urlsplit

from tests.fakes.providers.openid import Heard, Reply, proves

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass
class Account:
    """What somebody agreed to."""

    person: str
    client: str
    scopes: frozenset[str]
    resource: str = ""
    refresh: str = ""


@dataclass
class App:
    """A client that the authorization server knows."""

    id: str
    secret: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)


class Authority:
    """The authorization server, under `prefix` of its address.

    `replies` answers a path in its own way; `metadata` is laid over the document, where None takes a member away;
    `token` is laid over each token answer; `answer` over what the browser brings back.
    """

    def __init__(self, prefix: str = "") -> None:
        self.prefix = prefix
        self.origin = ""
        self.named = ""  # the issuer, where it is not the address
        self.heard: list[Heard] = []
        self.replies: dict[str, Callable[[Heard], Reply]] = {}
        self.metadata: dict[str, Any] = {}
        self.token: dict[str, Any] = {}
        self.answer: dict[str, str] = {}
        self.registration: dict[str, Any] = {}
        self.apps: dict[str, App] = {}
        self.accounts: dict[str, Account] = {}  # by access token
        self.refreshes: dict[str, Account] = {}
        self.person = "alice"  # who sits at the browser
        self.life: int | None = 3600
        self.alike = ""  # how every access token begins
        self.rotates = True
        self.gives_refresh = True
        self.ahead = 0.0
        self._codes: dict[str, tuple[dict[str, str], Account]] = {}

    @property
    def issuer(self) -> str:
        return self.named or self.origin + self.prefix

    def now(self) -> int:
        return int(time.time() + self.ahead)

    def asked(self, path: str) -> list[Heard]:
        return [one for one in self.heard if one.path.split("?")[0] == self.prefix + path]

    def add_app(self, ident: str, secret: str = "") -> App:
        """As an administrator registers one by hand."""
        self.apps[ident] = App(ident, secret)
        return self.apps[ident]

    def revoke(self, person: str) -> None:
        """Everything that this person agreed to is over."""
        for kept in (self.accounts, self.refreshes):
            for token in [token for token, account in kept.items() if account.person == person]:
                del kept[token]

    def expire(self) -> None:
        """No access token works any more; refresh tokens do."""
        self.accounts.clear()

    def document(self) -> dict[str, Any]:
        base = self.origin + self.prefix
        said = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{base}/authorize",
            "token_endpoint": f"{base}/token",
            "registration_endpoint": f"{base}/register",
            "revocation_endpoint": f"{base}/revoke",
            "response_types_supported": ["code"],
            "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": [
                "none", "client_secret_basic", "client_secret_post", "private_key_jwt",
            ],
            "token_endpoint_auth_signing_alg_values_supported": ["RS256", "ES256"],
            "authorization_response_iss_parameter_supported": True,
        } | self.metadata  # fmt: skip
        return {name: value for name, value in said.items() if value is not None}

    def arrive(self, departure: str, person: str = "", **more: str) -> str:
        """The person agrees; the address that their browser is sent back to."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(departure).query).items()}
        scopes = frozenset(asked.get("scope", "").split())
        code = secrets.token_urlsafe(16)
        account = Account(person or self.person, asked["client_id"], scopes, asked.get("resource", ""))
        self._codes[code] = (asked, account)
        back = {"code": code, "state": asked.get("state", ""), "iss": self.issuer} | self.answer | more
        return f"{asked['redirect_uri']}?{urlencode({name: value for name, value in back.items() if value})}"

    def reply(self, heard: Heard) -> Reply:
        path = heard.path.split("?")[0]
        if path in self.replies:
            return self.replies[path](heard)
        if path == f"/.well-known/oauth-authorization-server{self.prefix}":
            return Reply(200, self.document())
        answers = {"/token": self.give, "/register": self.register, "/authorize": self.agree, "/revoke": self.forget}
        own = path.removeprefix(self.prefix)
        return answers[own](heard) if own in answers else Reply(404, {"error": "not_found"})

    def agree(self, heard: Heard) -> Reply:
        """For browsers: whoever comes agrees at once."""
        return Reply(302, b"", (("Location", self.arrive(heard.path)),))

    def register(self, heard: Heard) -> Reply:
        """RFC 7591 section 3.2.1."""
        said = json.loads(heard.body)
        app = App(f"dyn-{secrets.token_hex(6)}", metadata=said)
        known: dict[str, Any] = {**said, "client_id": app.id} | self.registration
        if known.get("token_endpoint_auth_method", "client_secret_basic") != "none":
            app.secret = known.setdefault("client_secret", secrets.token_urlsafe(24))
            known.setdefault("client_secret_expires_at", 0)
        self.apps[app.id] = app
        return Reply(201, known)

    def forget(self, heard: Heard) -> Reply:
        """RFC 7009: a refresh token takes its access tokens along."""
        token = heard.form.get("token", "")
        account = self.refreshes.pop(token, None) or self.accounts.pop(token, None)
        if account is not None:
            for kept in [token for token, one in self.accounts.items() if one.refresh == account.refresh]:
                del self.accounts[kept]
        return Reply(200, b"")

    def give(self, heard: Heard) -> Reply:
        """The token endpoint."""
        client = self.client_of(heard)
        if client is None:
            return Reply(401, {"error": "invalid_client", "error_description": "call 555-EVIL"})
        account = self.account_of(heard, client)
        if account is None:
            return Reply(400, {"error": "invalid_grant", "error_description": "call 555-EVIL"})
        return Reply(200, self.tokens(account, refreshable=heard.form["grant_type"] != "client_credentials"))

    def account_of(self, heard: Heard, client: str) -> Account | None:
        form, grant = heard.form, heard.form.get("grant_type")
        scopes = frozenset(form.get("scope", "").split())
        if grant == "client_credentials":
            return Account(client, client, scopes, form.get("resource", ""))
        if grant == "refresh_token":
            take = self.refreshes.pop if self.rotates else self.refreshes.get
            return take(form.get("refresh_token", ""), None)
        asked, account = self._codes.pop(form.get("code", ""), ({}, None))
        fits = account is not None and (account.client, asked["redirect_uri"]) == (client, form.get("redirect_uri"))
        return account if fits and proves(form.get("code_verifier", ""), asked["code_challenge"]) else None

    def tokens(self, account: Account, *, refreshable: bool = True) -> dict[str, Any]:
        access = f"{self.alike}at-{account.person}-{secrets.token_hex(8)}"
        said: dict[str, Any] = {"access_token": access, "token_type": "Bearer", "scope": " ".join(account.scopes)}
        if self.life is not None:
            said["expires_in"] = self.life
        if refreshable and self.gives_refresh and (self.rotates or not account.refresh):
            account.refresh = said["refresh_token"] = secrets.token_hex(16)
            self.refreshes[account.refresh] = account
        said = {name: value for name, value in (said | self.token).items() if value is not None}
        granted = said.get("scope", "")
        scopes = frozenset(granted.split()) if isinstance(granted, str) else account.scopes
        self.accounts[str(said.get("access_token", ""))] = Account(
            account.person, account.client, scopes, account.resource, account.refresh
        )
        return said

    def client_of(self, heard: Heard) -> str | None:
        """Who asks, if that is proved; an address is believed, as if its document had been read."""
        ident, secret = _basic(heard) or (heard.form.get("client_id", ""), heard.form.get("client_secret", ""))
        if "client_assertion" in heard.form:
            claims = claims_of(heard.form["client_assertion"])
            known = claims.get("sub") in self.apps or str(claims.get("sub")).startswith("http")
            return str(claims["sub"]) if known and claims.get("iss") == claims["sub"] else None
        if ident.startswith("http"):
            return ident
        app = self.apps.get(ident)
        return ident if app is not None and app.secret == secret else None


def _basic(heard: Heard) -> tuple[str, str] | None:
    given = heard.headers.get("authorization", "")
    if not given.startswith("Basic "):
        return None
    ident, _, secret = base64.b64decode(given[6:]).decode().partition(":")
    return unquote_plus(ident), unquote_plus(secret)


def claims_of(assertion: str) -> dict[str, Any]:
    part = assertion.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return claims
