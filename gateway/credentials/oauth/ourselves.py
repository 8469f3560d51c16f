"""`client-credentials`: we ask for a token as ourselves, and people share it (RFC 6749 section 4.4, SEP-1046).

Who we are is proved by our app's secret or key, or by what the platform that we run on says of us (RFC 7523).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.credentials import CredentialUnavailable, Refused, Unanswered, platform
from gateway.credentials.derived.bearing import bearer
from gateway.credentials.derived.granting import check_set
from gateway.credentials.oauth.asking import tokens
from gateway.credentials.oauth.client import apps
from gateway.credentials.oauth.client.proving import App
from gateway.credentials.oauth.finding.resources import parameter
from gateway.oauth.evidence import JWT_BEARER
from registry.credentials.modes.client_credentials import ClientCredentialsSettings

if TYPE_CHECKING:
    from gateway.credentials import Asked, Held
    from gateway.credentials.equipment import Equipment
    from gateway.credentials.oauth.finding.discovery import Found
    from registry.catalogue import Upstream

CLIENT_CREDENTIALS: Final = "client_credentials"
UNSAID: Final = 300  # seconds that a token is used whose end is not said


class Ourselves:
    """The source of a server's own app."""

    def __init__(self, equipment: Equipment) -> None:
        self._equipment = equipment

    def obtain(self, asked: Asked) -> Held:
        upstream, now = asked.upstream, self._equipment.clock()
        equipment = self._equipment.toward(upstream)
        try:
            found = equipment.discovery.find(equipment.fetcher, upstream, fresh=asked.instead_of is not None)
            granted = self._granted(equipment, asked, found)
        except Unanswered as later:
            raise _unavailable(upstream, str(later), "it may pass", int(later.retry_after)) from later
        except Refused as refused:
            raise _unavailable(upstream, str(refused), "an administrator has to mend it") from refused
        life = UNSAID if granted.expires_in is None else granted.expires_in
        return bearer(asked, granted.access, now, now + life, granted.holder)

    def _granted(self, equipment: Equipment, asked: Asked, found: Found) -> tokens.Granted:
        upstream, issuer = asked.upstream, found.authority.issuer
        app, grant = _speaking(equipment, upstream, found)
        form = {
            **grant,
            "resource": parameter(upstream, found.resource.name, told=not found.resource.old),
            "scope": " ".join(_scopes(asked, found)),
        }
        try:
            return tokens.request_for(equipment, found, app, form)
        except (Refused, Unanswered):
            equipment.discovery.forget(upstream, issuer)
            raise


def _speaking(equipment: Equipment, upstream: Upstream, found: Found) -> tuple[App, dict[str, str]]:
    """Who we are there, and what we ask with (SEP-1933; RFC 7523 section 2.2, where the platform proves our app)."""
    settings, issuer = upstream.auth_settings, found.authority.issuer
    assert isinstance(settings, ClientCredentialsSettings)
    if not settings.workload:
        return apps.app_for(equipment, upstream, found, ()), {"grant_type": CLIENT_CREDENTIALS}
    declared = equipment.office.settings.workload_tokens
    said = platform.token(declared, settings.workload, issuer, equipment.clock())
    if settings.grant == "jwt-bearer":
        return App(id=settings.client_id, issuer=issuer), {"grant_type": JWT_BEARER, "assertion": said}
    app = App(id=settings.client_id, method="private_key_jwt", issuer=issuer, assertion=said)
    return app, {"grant_type": CLIENT_CREDENTIALS}


def _scopes(asked: Asked, found: Found) -> tuple[str, ...]:
    """What is configured, and that alone; else what the server wants, with what it has just asked for besides."""
    configured: tuple[str, ...] = getattr(asked.upstream.auth_settings, "scopes", ())
    check_set(asked, configured)
    chosen = configured or found.resource.wanted or found.resource.scopes
    return tuple(dict.fromkeys((*chosen, *sorted(asked.scopes))))


def _unavailable(upstream: Upstream, why: str, outlook: str, retry_after: int = 0) -> CredentialUnavailable:
    refused = CredentialUnavailable(f"there is no token for {upstream.title or upstream.slug}: {why}; {outlook}")
    refused.retry_after = retry_after
    return refused
