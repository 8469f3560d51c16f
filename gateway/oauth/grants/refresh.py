"""Refresh tokens (RFC 6749 section 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from authlib.oauth2.rfc6749 import grants

from authz.tokens import families
from authz.tokens.families import Reused, allowance_of
from gateway.oauth.clients.client import AUTH_METHODS
from gateway.oauth.grants.common import Presented, enabled, narrower
from gateway.oauth.problems import InvalidGrant

if TYPE_CHECKING:
    from authz.tables import Person, RefreshToken
    from gateway.oauth.asking import Ask
    from gateway.oauth.issuing import IssuingServer


class RefreshGrant(grants.RefreshTokenGrant):
    """RFC 6749 section 6 with rotation (OAuth 2.1 section 4.3.1); see `authz.tokens.families` for races and reuse."""

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
        person = enabled(self.server, refresh_token.row.person)
        if person is None:
            raise InvalidGrant("whoever this was given to is not enabled here any more")
        return person

    def _validate_token_scope(self, token: Presented) -> None:
        wanted = narrower(self.request.payload.scope, token.row.scope)
        self.request.parameters["scope"] = wanted

    def issue_token(self, user: Person, refresh_token: Presented) -> dict[str, Any]:  # noqa: ARG002 - asked already
        desk, row = self.server.desk, refresh_token.row
        scope = self.request.parameters["scope"]
        self.server.bound(allowance_of(row), self.request.client.row)
        token = self.server.issue(self.GRANT_TYPE, allowance_of(row), scope, row.family)  # refused: not spent
        token["refresh_token"] = families.successor(
            desk.session, desk.office.vault, row, refresh_token.secret, desk.now
        )
        return token

    def revoke_old_credential(self, refresh_token: RefreshToken) -> None:
        """Done: it was spent when its successor was made."""
