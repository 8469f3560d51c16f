"""The vocabulary of identities: what every way to sign in gives us."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalIdentity:
    """Somebody as an identity provider vouched for them, before they become a person of ours.

    Identity is `(issuer, subject)`, never the e-mail address, which people and providers change.
    `authenticated_at` is in seconds since the epoch; `acr` and `amr` as in OpenID Connect Core section 2.
    """

    issuer: str
    subject: str
    name: str = ""
    email: str = ""
    groups: frozenset[str] = frozenset()
    authenticated_at: float
    acr: str = ""
    amr: tuple[str, ...] = field(default=())
