"""`on-behalf-of`: a token for the server's app, on behalf of the person, by the app that they signed in to (Entra ID).

The server sees the person. That an agent acted for them is on our record alone, for Entra ID has no word for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.credentials.derived.bearing import bearer
from gateway.credentials.derived.granting import as_nobody
from gateway.credentials.derived.sign_ins import borrowed, unable
from idp_adapters.contract import IdentityProblem, Standing
from registry.credentials.modes.on_behalf_of import OnBehalfOfSettings

if TYPE_CHECKING:
    from gateway.credentials import Asked, Held
    from gateway.credentials.equipment import Equipment
    from gateway.identity.providers import Opened
    from idp_adapters.contract import Lent


class OnBehalfOf:
    """`Source`."""

    def __init__(self, equipment: Equipment) -> None:
        self._equipment = equipment

    def obtain(self, asked: Asked) -> Held:
        settings = asked.upstream.auth_settings
        assert isinstance(settings, OnBehalfOfSettings)
        lent = self._ours(asked, settings) if asked.principal is None else self._theirs(asked, settings)
        return bearer(asked, lent.token, self._equipment.clock(), lent.until)

    def _theirs(self, asked: Asked, settings: OnBehalfOfSettings) -> Lent:
        def ask(opened: Opened, keep: bytes) -> Lent | None:
            return _standing(opened).on_behalf(keep, settings.scopes)

        return borrowed(self._equipment, asked, settings.provider, ask)

    def _ours(self, asked: Asked, settings: OnBehalfOfSettings) -> Lent:
        """To read what the server offers: the app itself, which its administrator may let or not."""
        try:
            opened = self._equipment.providers.get(settings.provider)
            return _standing(opened).on_our_own(settings.scopes)
        except IdentityProblem as problem:
            raise as_nobody(asked, str(problem)) from problem


def _standing(opened: Opened) -> Standing:
    if not isinstance(opened.adapter, Standing):
        raise unable(opened, "tokens on behalf of people")
    return opened.adapter
