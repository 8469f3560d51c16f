"""Who is asking."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NewType

from authz.assurance import Assured

if TYPE_CHECKING:
    from collections.abc import Mapping

ADMINS: Final = "ostiary-admins"  # whoever a provider's claims put into it is an administrator for as long

# The payload of a token whose signature, type, times and audience were checked. Only `authz.tokens.access` makes one.
VerifiedClaims = NewType("VerifiedClaims", "dict[str, Any]")


@dataclass(frozen=True, slots=True)
class Member:
    """A person or an agent as the snapshot knows them: what policy calls them, and where they belong."""

    id: str
    label: str  # "user:alice" or "agent:nightly": what rules, records and pages say
    groups: Mapping[str, float | None]  # group name → until when (None: until changed)
    is_admin: bool = False

    def subjects(self, now: float) -> frozenset[str]:
        """Itself and the groups that hold at `now`; roles are added by the policy, which knows the portal."""
        alive = (f"group:{name}" for name, until in self.groups.items() if until is None or until > now)
        return frozenset((self.label, *alive))

    def administers(self, now: float) -> bool:
        """Made an administrator here, or by the groups that a provider gave."""
        return self.is_admin or f"group:{ADMINS}" in self.subjects(now)


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """A person or an agent, proved by a verified credential; there is no other way to have one, and no anonymous one.

    `subjects` is everything policy may know them by, except roles. `actor` is who acts for them, if somebody does:
    both must be allowed. `scopes` limit further. `expires_at` is in seconds since the epoch.
    """

    claims: VerifiedClaims
    issuer: str
    subject: str
    label: str
    subjects: frozenset[str]
    client: str
    scopes: frozenset[str]
    resource: str
    expires_at: float
    is_admin: bool = False
    jkt: str = (
        ""  # the thumbprint of the key that the token is bound to: worth nothing without a proof of it (RFC 9449)
    )
    actor: Principal | None = None

    @property
    def actors(self) -> tuple[str, ...]:
        """Who acts for them, nearest first."""
        return () if self.actor is None else (self.actor.label, *self.actor.actors)

    @property
    def assured(self) -> Assured:
        """How they proved who they are, as the token says it."""
        claims = self.claims
        return Assured(
            claims.get("acr", ""), frozenset(claims.get("amr", ())), claims.get("auth_time", 0), bool(self.jkt)
        )
