"""The tokens of a device without a browser, once a person has answered for it (RFC 8628 sections 3.4 and 3.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from authlib.oauth2.rfc8628 import DEVICE_CODE_GRANT_TYPE, DeviceCodeGrant, ExpiredTokenError, SlowDownError
from authlib.oauth2.rfc8628.errors import AuthorizationPendingError

from authz.clients.known import mark_used
from authz.tokens import devices, families
from authz.tokens.families import allowance_of
from gateway.oauth.clients.client import AUTH_METHODS
from gateway.oauth.grants.common import enabled
from gateway.oauth.problems import AccessDenied, InvalidGrant, InvalidRequest, UnauthorizedClient
from registry.database import Concern

if TYPE_CHECKING:
    from authz.tables import DeviceGrant
    from gateway.oauth.asking import Ask
    from gateway.oauth.issuing import IssuingServer

DEVICE_CODE: str = DEVICE_CODE_GRANT_TYPE


class DeviceGrantType(DeviceCodeGrant):
    """Authlib's core, with the row locked while it is judged: a device code gives tokens once."""

    TOKEN_ENDPOINT_AUTH_METHODS = AUTH_METHODS
    server: IssuingServer
    request: Ask

    def validate_token_request(self) -> None:
        client = self.authenticate_token_endpoint_client()
        if not client.check_grant_type(self.GRANT_TYPE):
            raise UnauthorizedClient("this client has not registered the device grant")
        code = self.request.parameters.get("device_code")
        if not code:
            raise InvalidRequest("device_code is required")
        row = devices.presented(self.server.desk.session, code, client.row.id)
        if row is None or row.used_at is not None:
            raise InvalidGrant("this device code is not known, or was used")
        self._answered(row)
        self.request.client, self.row = client, row

    def _answered(self, row: DeviceGrant) -> None:
        """Section 3.5: expired, denied, asked too soon, or not answered yet; none of them is told twice alike."""
        now = self.server.desk.now
        if row.expires_at <= now:
            raise ExpiredTokenError
        if row.answer == devices.DENIED:
            raise AccessDenied("whoever was asked said no")
        if row.answer == devices.ALLOWED:
            return
        self.server.desk.session.add(row)
        raise SlowDownError if devices.too_soon(row, now) else AuthorizationPendingError

    def create_token_response(self) -> tuple[int, dict[str, Any], list[tuple[str, str]]]:
        desk, row = self.server.desk, self.row
        if enabled(self.server, row.person) is None or families.is_over(desk.session, row):
            raise InvalidGrant("whoever allowed this is not enabled here any more, or has ended it")
        family, client = families.family_of(row), self.request.client.row
        allowed = self.server.bound(allowance_of(row), client)
        token = self.server.issue(self.GRANT_TYPE, allowed, row.scope, family)
        if self.request.client.check_grant_type("refresh_token"):
            life = desk.office.settings.refresh_life
            token["refresh_token"] = families.first_refresh(desk.session, allowed, family, desk.now, life)
        row.used_at = desk.now
        desk.session.add(row)
        if mark_used(client, desk.now):
            desk.moved.add(Concern.PEOPLE)
        return 200, token, self.TOKEN_RESPONSE_HEADER
