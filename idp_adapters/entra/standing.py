"""Tokens for other apps: on behalf of somebody who is signed in to ours (the on-behalf-of flow), or for ours itself.

MSAL keeps what it gets in a cache. It is given an empty one each time, because what is got here is for one call, and
nothing of it is to be kept with the sign-in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from idp_adapters.contract import Lent, ProviderDown
from idp_adapters.entra.msal_client import acquired

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ENOUGH: Final = 60.0  # seconds that a token has left at least: it is on its way to somebody who will look
NO_CONSENT: Final = 65001  # AADSTS65001


def on_behalf(application: Any, access_token: str, scopes: Sequence[str], now: float) -> Lent:
    """Entra ID, "OAuth 2.0 On-Behalf-Of flow". IdentityRefused: it wants to see the person again."""
    found = acquired(lambda: _consented(application.acquire_token_on_behalf_of(access_token, list(scopes))))
    return _lent(found, now)


def on_our_own(application: Any, scopes: Sequence[str], now: float) -> Lent:
    """With the permissions that an administrator gave the app: of each resource all, which is called `.default`."""
    resources = {scope.rpartition("/")[0] for scope in scopes}
    if len(resources) != 1:
        raise ProviderDown("scopes", "the scopes are of several resources; Entra ID gives tokens for one at a time")
    return _lent(acquired(lambda: application.acquire_token_for_client([f"{resources.pop()}/.default"])), now)


def _consented(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """What an administrator has to mend is nothing that a person can."""
    if answer.get("suberror") == "consent_required" or NO_CONSENT in (answer.get("error_codes") or ()):
        raise ProviderDown(
            "consent", "Entra ID has no consent for this: an administrator has to grant the app the server's permission"
        )
    return answer


def _lent(found: Mapping[str, Any], now: float) -> Lent:
    life = found.get("expires_in")
    if str(found.get("token_type", "")).lower() != "bearer" or not isinstance(life, int) or life <= 0:
        raise ProviderDown("token_answer", "Entra ID answered with what is no bearer token")
    return Lent(found["access_token"], now + life)
