"""A token of somebody else's authorization server, asked for in the name of whoever asks us."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.credentials import ConnectionNeeded, CredentialUnavailable, Refused, Unanswered
from gateway.credentials.derived.bearing import bearer
from gateway.credentials.oauth.asking.tokens import ClientForgotten, Denied

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.credentials import Asked, Held
    from gateway.credentials.oauth.asking.tokens import Granted

UNSAID: Final = 300.0  # seconds that a token is used whose life nobody says
AGAIN: Final = frozenset({"invalid_grant", "interaction_required", "login_required", "consent_required"})


def granted(asked: Asked, request: Callable[[], Granted], now: float, *, sign_in: str = "") -> Held:
    """What `request` brings, as a credential. With `sign_in` it is bought with the person's sign-in there, so that a
    token that is not taken any more is for them to mend.
    """
    try:
        given = request()
    except Denied as denied:
        if sign_in and denied.error in AGAIN:
            raise ConnectionNeeded(
                asked.upstream.slug, asked.subject, f"{_title(asked)} does not take your sign-in any more: {denied}. "
                "Sign in again, then try again", sign_in=sign_in,
            ) from denied  # fmt: skip
        if asked.principal is None and not isinstance(denied, ClientForgotten):
            raise as_nobody(asked, str(denied)) from denied
        raise _misconfigured(asked, denied) from denied
    except Refused as refused:
        raise _misconfigured(asked, refused) from refused
    except Unanswered as unanswered:
        raise CredentialUnavailable(f"{_title(asked)} cannot be used just now: {unanswered}; try again") from unanswered
    life = UNSAID if given.expires_in is None else given.expires_in
    return bearer(asked, given.access, now, now + life, given.holder)


def as_nobody(asked: Asked, why: str) -> ConnectionNeeded:
    """The gateway itself is given nothing there: it reads what the server shows to nobody in particular."""
    return ConnectionNeeded(asked.upstream.slug, "", f"{_title(asked)} is read without a credential: {why}")


def scopes(asked: Asked, configured: Sequence[str]) -> str:
    """Those that an administrator set; where none are, what the server itself has asked for (RFC 6750 section 3)."""
    check_set(asked, configured)
    return " ".join(dict.fromkeys((*configured, *sorted(asked.scopes))))


def check_set(asked: Asked, configured: Sequence[str]) -> None:
    """No person is asked here, so what an administrator set is all that a server can have by asking (T-15).

    Raises CredentialUnavailable.
    """
    if configured and asked.scopes - set(configured):
        raise CredentialUnavailable(
            f"{_title(asked)} wants more than was set for it: an administrator has to look whether it may have that "
            f"(`ostiary server auth {asked.upstream.slug} {asked.upstream.auth} ... --scope`)"
        )


def _misconfigured(asked: Asked, why: Refused) -> CredentialUnavailable:
    return CredentialUnavailable(
        f"{_title(asked)} cannot be used: {why}. An administrator has to look at how it is authenticated to "
        f"(`ostiary server show {asked.upstream.slug}`)"
    )


def _title(asked: Asked) -> str:
    return asked.upstream.title or asked.upstream.slug
