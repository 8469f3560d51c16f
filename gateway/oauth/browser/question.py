"""What is put to a person: may this client have this, there, in your name?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from authz.tables import Consent

if TYPE_CHECKING:
    from authz.people.sessions import SignedIn
    from authz.tables import Client
    from gateway.oauth.asking import Ask
    from gateway.oauth.grants.code import CodeGrant
    from gateway.oauth.issuing import IssuingServer


@dataclass(frozen=True, slots=True)
class Question:
    """A well-formed authorization request of a signed-in person, ready to be put to them."""

    server: IssuingServer
    grant: CodeGrant
    ask: Ask
    me: SignedIn
    resource: str

    @property
    def client(self) -> Client:
        row: Client = self.ask.client.row
        return row

    @property
    def redirect_uri(self) -> str:
        return str(self.ask.payload.redirect_uri)

    @property
    def scope(self) -> str:
        return str(self.ask.scope)

    @property
    def settled(self) -> bool:
        """Whether this person has said yes to exactly this before, in a way that may be remembered."""
        key = (self.me.person.id, self.client.id, self.redirect_uri, self.resource, self.scope)
        return self.redirect_uri.startswith("https://") and self.server.desk.session.get(Consent, key) is not None
