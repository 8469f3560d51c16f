"""`token-exchange`: a token of the person, exchanged at a service for one that is good at the server (RFC 8693).

What is exchanged is a token that we sign, for that service alone, or the ID token of the person's sign-in. Whoever acts
for them is named in ours, and presented beside theirs: no agent passes for the person.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from authz.clients.known import TOKEN_EXCHANGE
from gateway.credentials import Refused, Unanswered
from gateway.credentials.derived.granting import granted, scopes
from gateway.credentials.derived.sign_ins import borrowed, unable
from gateway.credentials.derived.signing import Statement, sign
from gateway.credentials.oauth.asking import tokens
from gateway.credentials.oauth.client import apps
from gateway.credentials.oauth.finding.discovery import RESOURCE_LIFE, Found
from gateway.oauth.evidence.token_types import ACCESS_TOKEN, ID_TOKEN, JWT
from idp_adapters.contract import Lending
from registry.credentials.modes.token_exchange import TokenExchangeSettings

if TYPE_CHECKING:
    from gateway.credentials import Asked, Held
    from gateway.credentials.equipment import Equipment
    from gateway.credentials.oauth.asking.tokens import Granted
    from gateway.identity.providers import Opened
    from idp_adapters.contract import Lent

LIFE: Final = 60  # seconds that a token to be exchanged is good for
NAMED_MOST: Final = 3  # authorization servers of one server that are looked at
TYP: Final = "JWT"  # it says who somebody is, and lets nobody in (RFC 7519 section 5.1)


class Exchange:
    """`Source`."""

    def __init__(self, equipment: Equipment) -> None:
        self._equipment = equipment
        self._silent: dict[str, float] = {}  # servers that say nothing of themselves, and until when that is believed

    def obtain(self, asked: Asked) -> Held:
        settings = asked.upstream.auth_settings
        assert isinstance(settings, TokenExchangeSettings)
        form = {**self._evidence(asked, settings), **_wanted(asked, settings)}
        return granted(
            asked, lambda: self._asked(asked, settings, form), self._equipment.clock(), sign_in=settings.provider
        )

    def _asked(self, asked: Asked, settings: TokenExchangeSettings, form: dict[str, str]) -> Granted:
        app = apps.configured(self._equipment, asked.upstream, settings.token_endpoint)
        found = self._found(asked, settings)
        if found is None:
            given = tokens.request(self._equipment, settings.token_endpoint, app, form)
        else:
            given = tokens.request_for(self._equipment, found, app, form)
        if form["grant_type"] == TOKEN_EXCHANGE and given.issued_type not in {ACCESS_TOKEN, JWT}:
            raise Unanswered("what the service gave in exchange is no access token")  # RFC 8693 section 2.2.1
        return given

    def _found(self, asked: Asked, settings: TokenExchangeSettings) -> Found | None:
        """What is known of the service, where it is the authorization server that the server names: only so can it be
        told that both ends know of keys (ADR 34). A service that nobody describes is asked as it was set up.
        """
        equipment, now = self._equipment.toward(asked.upstream), self._equipment.clock()
        if self._silent.get(asked.upstream.url, 0.0) > now:
            return None
        fetcher, discovery = equipment.fetcher, equipment.discovery
        try:
            resource = discovery.resource(fetcher, asked.upstream)
            known = [discovery.authority(fetcher, asked.upstream, issuer) for issuer in resource.issuers[:NAMED_MOST]]
        except (Refused, Unanswered):
            self._silent[asked.upstream.url] = now + RESOURCE_LIFE
            return None
        same = (Found(resource, one) for one in known if one.token_endpoint == settings.token_endpoint)
        return next(same, None)

    def _evidence(self, asked: Asked, settings: TokenExchangeSettings) -> dict[str, str]:
        """Whom it is about. To read what a server offers we go as ourselves, where a sign-in would be needed."""
        if settings.subject == "ours":
            said = Statement(audience=_service(settings), typ=TYP, life=LIFE)
            subject, kind = sign(self._equipment, asked, said).token, JWT
        elif asked.principal is None:
            return {"grant_type": "client_credentials"}
        else:
            subject, kind = borrowed(self._equipment, asked, settings.provider, _id_token).token, ID_TOKEN
        told = {"grant_type": TOKEN_EXCHANGE, "subject_token": subject, "subject_token_type": kind}
        return told | (self._actor(asked, settings) if settings.subject == "identity" and asked.actors else {})

    def _actor(self, asked: Asked, settings: TokenExchangeSettings) -> dict[str, str]:
        """RFC 8693 section 2.1: the nearest who acts, and in its `act` the others."""
        said = Statement(audience=_service(settings), typ=TYP, life=LIFE)
        return {"actor_token": sign(self._equipment, asked, said, about="actor").token, "actor_token_type": JWT}


def _wanted(asked: Asked, settings: TokenExchangeSettings) -> dict[str, str]:
    """For which server; never what a caller says."""
    fallback = "" if settings.audience else asked.upstream.url
    return {
        "audience": settings.audience,
        "resource": settings.resource or fallback,
        "scope": scopes(asked, settings.scopes),
        "requested_token_type": ACCESS_TOKEN,
    }


def _service(settings: TokenExchangeSettings) -> str:
    return settings.subject_audience or settings.token_endpoint


def _id_token(opened: Opened, keep: bytes) -> Lent | None:
    if not isinstance(opened.adapter, Lending):
        raise unable(opened, "ID token")
    return opened.adapter.identity_token(keep)
