"""A client as Authlib's core asks about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from authlib.oauth2.rfc6749 import ClientMixin

from authz.clients import redirects
from authz.clients.known import secret_matches
from authz.errors import ScopeRefused
from authz.scopes import ALL, LIMIT, intersect, parse_scope, write_scope

if TYPE_CHECKING:
    from authz.tables import Client

SECRET_METHODS = ("client_secret_basic", "client_secret_post")
PROVING_METHODS = ("private_key_jwt", *SECRET_METHODS)
AUTH_METHODS = (*PROVING_METHODS, "none")


class AskingClient(ClientMixin):
    """Answers from the row; what it does not say is not allowed."""

    def __init__(self, row: Client) -> None:
        self.row = row

    def __repr__(self) -> str:
        return f"AskingClient({self.row.id!r})"

    @property
    def client_id(self) -> str:
        return self.row.id

    def get_client_id(self) -> str:
        return self.row.id

    def get_default_redirect_uri(self) -> None:
        """None: OAuth 2.1 section 4.1.1 wants it said."""

    def get_allowed_scope(self, scope: str | None) -> str | None:
        """As far as this client reaches, in our one spelling; all that it may have, when nothing is asked for."""
        try:
            allowed = intersect(parse_scope(scope or ALL), parse_scope(self.row.scope or ALL))
        except ScopeRefused:
            return None
        return write_scope(allowed) if 0 < len(allowed) <= LIMIT else None

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirects.fits(redirect_uri, self.row.redirect_uris)

    def check_client_secret(self, client_secret: str) -> bool:
        return secret_matches(self.row, client_secret)

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:  # noqa: ARG002 - the same at each
        if method in {"none", "private_key_jwt"}:
            return self.row.auth_method == method
        return method in SECRET_METHODS and self.row.auth_method in SECRET_METHODS

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code" and self.check_grant_type("authorization_code")

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in self.row.grant_types
