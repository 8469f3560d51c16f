"""`id-jag`: an identity assertion for the server's authorization server, redeemed there for a token (SEP-990).

The person's identity provider vouches, or we do: then audience and resource are a pair that an administrator wrote down
in the server's registration, and no other is ever signed (MCP, Enterprise-Managed Authorization).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from authz.people.accounts import LOCAL_ISSUER
from authz.tables import Person
from authz.tokens.assertions import ID_JAG
from gateway.credentials.derived.granting import granted, scopes
from gateway.credentials.derived.sign_ins import borrowed, unable
from gateway.credentials.derived.signing import Statement, sign
from gateway.credentials.oauth.asking import tokens
from gateway.credentials.oauth.client import apps
from gateway.oauth.evidence import JWT_BEARER
from idp_adapters.contract import Asserting
from registry.credentials.modes.id_jag import IdJagSettings

if TYPE_CHECKING:
    from gateway.credentials import Asked, Held
    from gateway.credentials.equipment import Equipment
    from gateway.credentials.oauth.asking.tokens import Granted
    from gateway.credentials.oauth.client.proving import App
    from gateway.credentials.oauth.finding.discovery import Found
    from gateway.identity.providers import Opened
    from idp_adapters.contract import Lent

LIFE: Final = 60  # seconds that an assertion of ours is good for; it is redeemed at once, and once


class IdJag:
    """`Source`."""

    def __init__(self, equipment: Equipment) -> None:
        self._equipment = equipment

    def obtain(self, asked: Asked) -> Held:
        settings = asked.upstream.auth_settings
        assert isinstance(settings, IdJagSettings)
        return granted(asked, lambda: self._redeemed(asked, settings), self._equipment.clock())

    def _redeemed(self, asked: Asked, settings: IdJagSettings) -> Granted:
        """RFC 7523 section 2.1. To read what the server offers we go as ourselves (RFC 6749 section 4.4)."""
        upstream, equipment = asked.upstream, self._equipment.toward(asked.upstream)
        found = equipment.discovery.find(equipment.fetcher, upstream)
        app = apps.app_for(equipment, upstream, found, settings.scopes)
        told = {"resource": _resource(asked, settings), "scope": scopes(asked, settings.scopes)}
        if asked.principal is None:
            told["grant_type"] = "client_credentials"
        else:
            told |= {"grant_type": JWT_BEARER, "assertion": self._assertion(asked, settings, found, app)}
        return tokens.request_for(equipment, found, app, told)

    def _assertion(self, asked: Asked, settings: IdJagSettings, found: Found, app: App) -> str:
        audience, resource = found.authority.issuer, _resource(asked, settings)
        if settings.source == "ours":
            claims = {"client_id": app.id, "resource": resource, "scope": scopes(asked, settings.scopes)}
            said = Statement(audience=audience, typ=ID_JAG, life=LIFE, claims=claims | self._described(asked))
            return sign(self._equipment, asked, said).token
        wanted = scopes(asked, settings.scopes).split()

        def ask(opened: Opened, keep: bytes) -> Lent | None:
            if not isinstance(opened.adapter, Asserting):
                raise unable(opened, "identity assertions")
            return opened.adapter.assertion(keep, audience, resource, wanted)

        return borrowed(self._equipment, asked, settings.provider, ask).token

    def _described(self, asked: Asked) -> dict[str, Any]:
        """By what the other side may know them: the draft, section 3. Whose address nobody vouched for has none."""
        assert asked.principal is not None
        with self._equipment.office.database.read() as session:
            person = session.get(Person, asked.principal.subject)
        assured = asked.principal.assured
        known = {"auth_time": int(assured.auth_time), "acr": assured.acr, "amr": sorted(assured.amr)}
        if person is None:
            return known
        return known | {"name": person.name, "email": person.email if person.issuer != LOCAL_ISSUER else ""}


def _resource(asked: Asked, settings: IdJagSettings) -> str:
    return settings.resource or asked.upstream.url
