"""Whom a server, or its authorization server, has to trust where we sign who asks, in `ostiary server add|show`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry.credentials.modes import read_auth
from registry.credentials.modes.id_jag import IdJagSettings
from registry.credentials.modes.minted import MintedSettings
from registry.credentials.modes.token_exchange import TokenExchangeSettings

if TYPE_CHECKING:
    from gateway.office import Office
    from registry.credentials.modes.settings import AuthSettings
    from registry.tables import Server


def trust_of(office: Office, server: Server) -> dict[str, str]:
    """What it checks our tokens by; nothing for modes in which we sign none."""
    from gateway.credentials.oauth.client.own_documents import jwks_address

    audience = _audience(read_auth(server.auth, server.auth_settings), server.url)
    base = office.settings.base_url
    return {"token_issuer": base, "token_keys": jwks_address(base), "token_audience": audience} if audience else {}


def trust_text(office: Office, server: Server) -> str:
    """The same in words."""
    found = trust_of(office, server)
    if not found:
        return ""
    lines = (f"issuer {found['token_issuer']}", f"keys {found['token_keys']}", f"audience {found['token_audience']}")
    return "\n".join(("Tokens that we sign, to be checked by:", *(f"  {line}" for line in lines)))


def _audience(settings: AuthSettings, url: str) -> str:
    match settings:
        case MintedSettings():
            return settings.audience or url
        case TokenExchangeSettings(subject="ours"):
            return settings.subject_audience or settings.token_endpoint
        case IdJagSettings(source="ours"):
            return settings.issuer
    return ""
