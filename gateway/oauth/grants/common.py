"""What the grants of a person have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from authz.errors import ScopeRefused
from authz.scopes import covers, parse_scope, write_scope
from authz.tokens import families
from gateway.oauth.problems import InvalidScope

if TYPE_CHECKING:
    from authz.tables import Person
    from gateway.oauth.clients.client import AskingClient
    from gateway.oauth.issuing import IssuingServer


class Presented:
    """A code or refresh token that its client may use, as Authlib asks about it."""

    def __init__(self, row: Any, secret: str) -> None:
        self.row = row
        self.secret = secret

    def __repr__(self) -> str:
        return f"Presented({type(self.row).__name__})"

    def get_redirect_uri(self) -> str:
        return str(self.row.redirect_uri)

    def get_scope(self) -> str:
        return str(self.row.scope)

    def check_client(self, client: AskingClient) -> bool:
        return bool(self.row.client == client.row.id)


def enabled(server: IssuingServer, person_id: str) -> Person | None:
    person = families.lock_person(server.desk.session, person_id)
    return person if person is not None and person.disabled_at is None else None


def narrower(asked: str | None, granted: str) -> str:
    """What of the granted scope is wanted now; all of it when nothing is said."""
    if not asked:
        return granted
    try:
        wanted = parse_scope(asked)
    except ScopeRefused as refused:
        raise InvalidScope("scope cannot be read") from refused
    if not covers(parse_scope(granted), wanted):
        raise InvalidScope("scope is wider than what was granted")
    return write_scope(wanted)
