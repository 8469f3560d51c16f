"""The grants: what may be exchanged for a token, and what each of them checks besides Authlib's grammar."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from authlib.oauth2.rfc6749 import grants
from authlib.oauth2.rfc7636 import CodeChallenge

from authz import families
from authz.clients import Origin
from authz.errors import ScopeRefused
from authz.families import Allowance, Reused, allowance_of
from authz.scopes import covers, parse_scope, write_scope
from gateway.oauth.client import AUTH_METHODS, SECRET_METHODS
from gateway.oauth.problems import InvalidGrant, InvalidRequest, InvalidScope, UnauthorizedClient

if TYPE_CHECKING:
    from authz.tables import Code, Person, RefreshToken
    from gateway.oauth.asking import Ask
    from gateway.oauth.client import AskingClient
    from gateway.oauth.issuing import IssuingServer


class Presented:
    """A code or refresh token that its client may use, as Authlib asks about it."""

    def __init__(self, row: Any, secret: str) -> None:
        self.row = row
        self.secret = secret

    def __repr__(self) -> str:
        return f"Presented({type(self.row).__name__})"

    def get_redirect_uri(self) -> str:
        return str(self.row.redirect_uri)

    def get_scope(self) -> str:
        return str(self.row.scope)

    def check_client(self, client: AskingClient) -> bool:
        return bool(self.row.client == client.row.id)


class S256Only(CodeChallenge):
    """RFC 7636 as OAuth 2.1 section 4.1.1 has it: a challenge always, and never in plain."""

    SUPPORTED_CODE_CHALLENGE_METHOD = ("S256",)

    def validate_code_challenge(self, grant: Any, redirect_uri: str) -> None:
        parameters = grant.request.parameters
        if not parameters.get("code_challenge"):
            raise InvalidRequest("code_challenge is required (PKCE)")
        if parameters.get("code_challenge_method") != "S256":
            raise InvalidRequest("code_challenge_method must be S256")
        super().validate_code_challenge(grant, redirect_uri)

    def get_authorization_code_challenge(self, authorization_code: Presented) -> str:
        return str(authorization_code.row.challenge)

    def get_authorization_code_challenge_method(self, authorization_code: Presented) -> str:  # noqa: ARG002 - one
        return "S256"


class CodeGrant(grants.AuthorizationCodeGrant):
    """RFC 6749 section 4.1, from the consent to the first tokens. `resource` is set once it is known to exist."""

    TOKEN_ENDPOINT_AUTH_METHODS = AUTH_METHODS
    server: IssuingServer
    request: Ask
    resource: str = ""
    browser: str = ""  # the hash of the session that consented
    allowed: Allowance | None = None

    @staticmethod
    def validate_authorization_redirect_uri(request: Ask, client: AskingClient) -> str:
        asked = request.payload.redirect_uri
        if not asked:
            raise InvalidRequest("redirect_uri is required")
        if not client.check_redirect_uri(asked):
            raise InvalidRequest("redirect_uri is not one that this client has registered")
        return str(asked)

    def generate_authorization_code(self) -> str:
        return families.new_code()

    def save_authorization_code(self, code: str, request: Ask) -> None:
        desk = self.server.desk
        assert self.allowed is not None
        families.keep_code(
            desk.session,
            code,
            self.allowed,
            redirect_uri=request.payload.redirect_uri,
            challenge=request.parameters["code_challenge"],
            browser=self.browser,
            now=desk.now,
        )

    def query_authorization_code(self, code: str, client: AskingClient) -> Presented | None:
        found = families.redeem(self.server.desk.session, code, client.row.id, self.server.desk.now)
        if isinstance(found, Reused):
            self.server.reused("code", found)
            return None
        return None if found is None else Presented(found, code)

    def validate_token_request(self) -> None:
        super().validate_token_request()
        self.server.check_target(self.request.parameters.get("resource"), self.request.authorization_code.row.resource)

    def authenticate_user(self, authorization_code: Presented) -> Person | None:
        return _enabled(self.server, authorization_code.row.person)

    def generate_token(self, *_: Any, include_refresh_token: bool = True, **__: Any) -> dict[str, Any]:
        desk, presented = self.server.desk, self.request.authorization_code
        row: Code = presented.row
        token = self.server.issue(self.GRANT_TYPE, allowance_of(row), row.scope, row.family)
        if include_refresh_token:
            life = desk.office.settings.refresh_life
            token["refresh_token"] = families.first_refresh(desk.session, row, desk.now, life)
        return token

    def delete_authorization_code(self, authorization_code: Presented) -> None:
        authorization_code.row.used_at = self.server.desk.now
        self.server.desk.session.add(authorization_code.row)


class RefreshGrant(grants.RefreshTokenGrant):
    """RFC 6749 section 6 with rotation (OAuth 2.1 section 4.3.1); see `authz.families` for races and reuse."""

    TOKEN_ENDPOINT_AUTH_METHODS = AUTH_METHODS
    server: IssuingServer
    request: Ask

    def authenticate_refresh_token(self, refresh_token: str) -> Presented | None:
        desk = self.server.desk
        found = families.present(desk.session, refresh_token, self.request.client.row.id, desk.now)
        if isinstance(found, Reused):
            self.server.reused("refresh_token", found)
            return None
        return None if found is None else Presented(found, refresh_token)

    def validate_token_request(self) -> None:
        super().validate_token_request()
        self.server.check_target(self.request.parameters.get("resource"), self.request.refresh_token.row.resource)

    def authenticate_user(self, refresh_token: Presented) -> Person:
        person = _enabled(self.server, refresh_token.row.person)
        if person is None:
            raise InvalidGrant("whoever this was given to is not enabled here any more")
        return person

    def _validate_token_scope(self, token: Presented) -> None:
        wanted = _narrower(self.request.payload.scope, token.row.scope)
        self.request.parameters["scope"] = wanted

    def issue_token(self, user: Person, refresh_token: Presented) -> dict[str, Any]:  # noqa: ARG002 - asked already
        desk, row = self.server.desk, refresh_token.row
        scope = self.request.parameters["scope"]
        token = self.server.issue(self.GRANT_TYPE, allowance_of(row), scope, row.family)  # refused: not spent
        token["refresh_token"] = families.successor(
            desk.session, desk.office.vault, row, refresh_token.secret, desk.now
        )
        return token

    def revoke_old_credential(self, refresh_token: RefreshToken) -> None:
        """Done: it was spent when its successor was made."""


class AgentGrant(grants.ClientCredentialsGrant):
    """RFC 6749 section 4.4: an agent asks as itself, so it has to be one, and enabled."""

    TOKEN_ENDPOINT_AUTH_METHODS = SECRET_METHODS
    server: IssuingServer
    request: Ask

    def validate_token_request(self) -> None:
        super().validate_token_request()
        if self.request.client.row.origin != Origin.AGENT:
            raise UnauthorizedClient("only an agent may ask as itself")

    def generate_token(self, *_: Any, **__: Any) -> dict[str, Any]:
        client: AskingClient = self.request.client
        scope = client.get_allowed_scope(self.request.payload.scope)
        assert scope is not None
        allowed = Allowance(
            client=client.row.id,
            person=client.row.id,
            resource=self.server.check_target(self.request.parameters.get("resource"), None),
            scope=scope,
            auth_time=0,
        )
        client.row.last_used_at = self.server.desk.now
        return self.server.issue(self.GRANT_TYPE, allowed, scope)


def _enabled(server: IssuingServer, person_id: str) -> Person | None:
    person = families.lock_person(server.desk.session, person_id)
    return person if person is not None and person.disabled_at is None else None


def _narrower(asked: str | None, granted: str) -> str:
    """What of the granted scope is wanted now; all of it when nothing is said."""
    if not asked:
        return granted
    try:
        wanted = parse_scope(asked)
    except ScopeRefused as refused:
        raise InvalidScope("scope cannot be read") from refused
    if not covers(parse_scope(granted), wanted):
        raise InvalidScope("scope is wider than what was granted")
    return write_scope(wanted)
