"""Borrowing from the sign-in of whoever asks, and saying in words why there is nothing to borrow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.credentials import ConnectionNeeded, CredentialUnavailable
from gateway.identity.lending import borrow
from idp_adapters.contract import IdentityProblem, IdentityRefused, ProviderDown

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.credentials import Asked
    from gateway.credentials.equipment import Equipment
    from gateway.identity.providers import Opened
    from idp_adapters.contract import Lent

AGENT: Final = "agent:"


def borrowed(equipment: Equipment, asked: Asked, slug: str, ask: Callable[[Opened, bytes], Lent | None]) -> Lent:
    """What the provider lends for the person who asks. Raises ConnectionNeeded where they have to sign in again."""
    title = asked.upstream.title or asked.upstream.slug
    if asked.principal is None or asked.principal.label.startswith(AGENT):
        raise CredentialUnavailable(
            f"{title} is used with a person's sign-in, and an agent on its own has none: a person has to delegate to it"
        )
    try:
        return borrow(equipment.office, equipment.providers, asked.subject, slug, ask)
    except IdentityRefused as refused:
        if refused.reason == "no_provider":
            raise cannot(asked, refused) from refused
        raise ConnectionNeeded(asked.upstream.slug, asked.subject, _again(title, refused), sign_in=slug) from refused
    except ProviderDown as down:
        raise cannot(asked, down) from down


def cannot(asked: Asked, problem: IdentityProblem) -> CredentialUnavailable:
    """Nothing that the person who asks could mend."""
    title = asked.upstream.title or asked.upstream.slug
    return CredentialUnavailable(f"{title} cannot be used with your sign-in just now: {problem}")


def unable(opened: Opened, what: str) -> ProviderDown:
    """Its adapter has no such thing to lend."""
    return ProviderDown("cannot", f"the identity provider {opened.title} gives no {what}; set another --auth")


def _again(title: str, refused: IdentityRefused) -> str:
    return f"{title} is used with your sign-in: {refused}. Sign in again, then try again"
