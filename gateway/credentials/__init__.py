"""What we authenticate with at servers, and how we come by it.

A server's mode (`registry.auth_modes`) says who has something there: nobody, we, or each person. What is kept is in the
vault; what is derived (an exchanged or a minted token) is kept in memory for as long as it is good. A credential is
found by (subject, server, scope) and by nothing less, and is bound to the server's origin (T-49, T-53).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from authz.acting import read_chain
from gateway.upstream import UpstreamError
from gateway.upstream.troubles import Trouble

if TYPE_CHECKING:
    from authz.principals import Principal
    from registry.catalog import Credential, Upstream


class CredentialUnavailable(UpstreamError):
    """There is none now, and nothing was sent; the text says why and what to do, in our words."""

    trouble = Trouble.CREDENTIAL


class CredentialTampered(CredentialUnavailable):
    """What is kept does not open: it was changed, moved, put back, or sealed under another key (T-92)."""


class ConnectionNeeded(CredentialUnavailable):
    """A person has to do something first: connect an account, connect it again, or give what is asked for.

    `subject` is whose account it is, empty for the shared one, which only an administrator connects.
    """

    trouble = Trouble.NOT_CONNECTED

    def __init__(self, server: str, subject: str, why: str) -> None:
        super().__init__(why)
        self.server = server
        self.subject = subject


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """For what a credential is wanted. Without a principal the gateway itself asks, to read what a server offers.

    `object` is `server.tool`, or empty; `scopes` are what a challenge of the server named (RFC 6750 section 3).
    """

    upstream: Upstream
    principal: Principal | None
    object: str = ""
    scopes: frozenset[str] = frozenset()

    @property
    def subject(self) -> str:
        """Whose account is to be used; empty for the shared one."""
        settings = self.upstream.auth_settings
        if self.principal is None or not (settings.personal or settings.derived):
            return ""
        return self.principal.subject

    @property
    def actors(self) -> tuple[str, ...]:
        """Who acts for them, nearest first, where the credential says so: one made for an agent is not the person's."""
        if self.principal is None or not self.upstream.auth_settings.derived:
            return ()
        return read_chain(self.principal.claims)

    @property
    def tool(self) -> str:
        """The one thing that it is to be good for, where each is good for one alone."""
        return self.object if self.upstream.auth_settings.per_tool else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A credential and when a new one should be had, in seconds since the epoch."""

    credential: Credential
    renew_at: float


class Source(Protocol):
    """One mode: how a credential is come by. Plain synchronous functions, called in a thread."""

    def obtain(self, asked: Asked) -> Held:
        """A fresh one. Raises ConnectionNeeded if a person must act, CredentialUnavailable for all else."""
