"""The authorization code grant, with PKCE always (RFC 6749 section 4.1, RFC 7636)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from authlib.oauth2.rfc6749 import grants
from authlib.oauth2.rfc7636 import CodeChallenge

from authz.tokens import families
from authz.tokens.families import Allowance, Reused, allowance_of
from gateway.oauth.clients.client import AUTH_METHODS
from gateway.oauth.grants.common import Presented, enabled
from gateway.oauth.problems import InvalidRequest

if TYPE_CHECKING:
    from authz.tables import Code, Person
    from gateway.oauth.asking import Ask
    from gateway.oauth.clients.client import AskingClient
    from gateway.oauth.issuing import IssuingServer


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
        return enabled(self.server, authorization_code.row.person)

    def generate_token(self, *_: Any, include_refresh_token: bool = True, **__: Any) -> dict[str, Any]:
        desk, presented = self.server.desk, self.request.authorization_code
        row: Code = presented.row
        allowed = self.server.bound(allowance_of(row), self.request.client.row)
        token = self.server.issue(self.GRANT_TYPE, allowed, row.scope, row.family)
        if include_refresh_token:
            life = desk.office.settings.refresh_life
            token["refresh_token"] = families.first_refresh(desk.session, allowed, row.family, desk.now, life)
        return token

    def delete_authorization_code(self, authorization_code: Presented) -> None:
        authorization_code.row.used_at = self.server.desk.now
        self.server.desk.session.add(authorization_code.row)
