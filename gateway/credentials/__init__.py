"""What we authenticate with at servers, and how we come by it.

A server's mode (`registry.credentials.modes`) says who has something there: nobody, we, or each person. What is
kept is in the vault; what is derived (an exchanged or a minted token) is kept in memory for as long as it is good. A
credential is found by its `Key` and by nothing less, and is bound to the server's origin (T-49, T-53).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from authz.acting import read_chain
from gateway.upstream import UpstreamError
from gateway.upstream.troubles import Trouble

if TYPE_CHECKING:
    from authz.principals import Principal
    from registry.catalogue import Credential, Upstream


class CredentialUnavailable(UpstreamError):
    """There is none now, and nothing was sent; the text says why and what to do, in our words."""

    trouble = Trouble.CREDENTIAL


class CredentialTampered(CredentialUnavailable):
    """What is kept does not open: it was changed, moved, put back, or sealed under another key (T-92)."""


class ConnectionNeeded(CredentialUnavailable):
    """A person has to do something first: connect an account, connect it again, or give what is asked for.

    `subject` is whose account it is, empty for the shared one, which only an administrator connects. `scopes` is what
    the server wants besides what the account has. `sign_in` names the identity provider to sign in with again, where
    that is what is needed.
    """

    trouble = Trouble.NOT_CONNECTED

    def __init__(
        self, server: str, subject: str, why: str, *, scopes: frozenset[str] = frozenset(), sign_in: str = ""
    ) -> None:
        super().__init__(why)
        self.server = server
        self.subject = subject
        self.scopes = scopes
        self.sign_in = sign_in


class Refused(Exception):
    """An authorization server will not renew what it gave: only a person can mend that. Says why, in our words."""


class Unanswered(Exception):
    """It could not be asked, or would not answer now: that may pass. Says why, in our words."""

    def __init__(self, why: str, retry_after: float = 0.0) -> None:
        super().__init__(why)
        self.retry_after = retry_after


class Key(NamedTuple):
    """By what a credential is found: two that differ in any of it never have the same one."""

    server: str
    auth: str
    subject: str
    actors: tuple[str, ...]
    tool: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """For what a credential is wanted. Without a principal the gateway itself asks, to read what a server offers.

    `object` is `server.tool`, or empty; `scopes` are what a challenge of the server named (RFC 6750 section 3).
    `instead_of` is one that the server has just refused: it is not to be given again.
    """

    upstream: Upstream
    principal: Principal | None
    object: str = ""
    scopes: frozenset[str] = frozenset()
    instead_of: Credential | None = None

    @property
    def subject(self) -> str:
        """Whose account is to be used; empty for the shared one."""
        settings = self.upstream.auth_settings
        if self.principal is None or not (settings.personal or settings.derived):
            return ""
        if not self.principal.subject:  # it would be the shared account's
            raise CredentialUnavailable("it cannot be told whose account is to be used")
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

    @property
    def key(self) -> Key:
        return Key(self.upstream.slug, self.upstream.auth, self.subject, self.actors, self.tool)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A credential and when a new one should be had, in seconds since the epoch."""

    credential: Credential
    renew_at: float


class Source(Protocol):
    """One mode: how a credential is come by. Plain synchronous functions, called in threads, several at a time.

    What it gives has the `server`, the origin and the `subject` that were asked for, and the `tool` as its `scope`;
    anything else is not believed.
    """

    def obtain(self, asked: Asked) -> Held:
        """A fresh one. Raises ConnectionNeeded if a person must act, CredentialUnavailable for all else."""
