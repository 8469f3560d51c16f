"""Which source has the credentials of which mode. Each is loaded when a server of its mode is first asked."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

from gateway.credentials import CredentialUnavailable
from registry.tables import Auth

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.credentials import Source
    from gateway.credentials.equipment import Equipment

SOURCES: Final[Mapping[Auth, str]] = {
    Auth.STATIC: "gateway.credentials.static:Static",
    Auth.OAUTH_PERSON: "gateway.credentials.kept:Kept",
    Auth.OAUTH_SHARED: "gateway.credentials.kept:Kept",
    Auth.CLIENT_CREDENTIALS: "gateway.credentials.oauth.ourselves:Ourselves",
    Auth.TOKEN_EXCHANGE: "gateway.credentials.derived.exchange:Exchange",
    Auth.ON_BEHALF_OF: "gateway.credentials.derived.on_behalf_of:OnBehalfOf",
    Auth.ID_JAG: "gateway.credentials.derived.id_jag:IdJag",
    Auth.MINTED: "gateway.credentials.derived.minted:Minted",
    Auth.AWS: "gateway.credentials.aws:Aws",
}


class Sources:
    """One of each mode that is in use; safe to share between threads."""

    def __init__(self, equipment: Equipment) -> None:
        self._equipment = equipment
        self._made: dict[Auth, Source] = {}

    def of(self, auth: Auth) -> Source:
        made = self._made.get(auth)
        if made is None:
            made = self._made.setdefault(auth, self._make(auth))  # of two at once, one is used
        return made

    def _make(self, auth: Auth) -> Source:
        place = SOURCES.get(auth)
        if place is None:
            raise CredentialUnavailable(f"nothing is known of how to authenticate with {auth}")
        module, _, name = place.partition(":")
        source: Source = getattr(import_module(module), name)(self._equipment)
        return source
