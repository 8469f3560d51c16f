"""An agent as itself (RFC 6749 section 4.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from authlib.oauth2.rfc6749 import grants

from authz.clients.known import Origin
from authz.tokens.families import Allowance
from gateway.oauth.clients.client import PROVING_METHODS
from gateway.oauth.problems import InvalidScope, UnauthorizedClient

if TYPE_CHECKING:
    from gateway.oauth.asking import Ask
    from gateway.oauth.clients.client import AskingClient
    from gateway.oauth.issuing import IssuingServer


class AgentGrant(grants.ClientCredentialsGrant):
    """RFC 6749 section 4.4: an agent asks as itself, so it has to be one, and enabled."""

    TOKEN_ENDPOINT_AUTH_METHODS = PROVING_METHODS
    server: IssuingServer
    request: Ask

    def validate_token_request(self) -> None:
        super().validate_token_request()
        if self.request.client.row.origin != Origin.AGENT:
            raise UnauthorizedClient("only an agent may ask as itself")

    def generate_token(self, *_: Any, **__: Any) -> dict[str, Any]:
        client: AskingClient = self.request.client
        scope = client.get_allowed_scope(self.request.payload.scope)
        if scope is None:
            raise InvalidScope("nothing of this scope is within this client's reach")
        allowed = Allowance(
            client=client.row.id,
            person=client.row.id,
            resource=self.server.check_target(self.request.parameters.get("resource"), None),
            scope=scope,
            auth_time=0,
        )
        client.row.last_used_at = self.server.desk.now
        return self.server.issue(self.GRANT_TYPE, allowed, scope)
