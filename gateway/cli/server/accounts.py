"""What an administrator has to know of a server at which accounts are connected, in `ostiary server add|show`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry.credentials.modes import read_auth
from registry.tables import Auth

if TYPE_CHECKING:
    from gateway.office import Office
    from registry.tables import Server

_SHARED = {
    Auth.OAUTH_PERSON: "an administrator connects the account that we read what it offers with at",
    Auth.OAUTH_SHARED: "an administrator connects the account that everybody uses at",
}


def accounts_of(office: Office, server: Server) -> dict[str, str]:
    """Where accounts are connected, and what an app that is registered there by hand needs; nothing for other modes."""
    from gateway.credentials.connections.links import connect_url
    from gateway.credentials.oauth.client.apps import callback_of
    from gateway.credentials.oauth.client.own_documents import can_be_read, document_of

    base = office.settings.base_url
    page = connect_url(base, server.slug)
    if server.auth not in _SHARED:
        return {"connect": page} if read_auth(server.auth, server.auth_settings).personal else {}
    document = {"client_document": document_of(base, server.slug)} if can_be_read(base) else {}
    personal = {"connect": page} if server.auth == Auth.OAUTH_PERSON else {}
    return {**personal, "connect_shared": f"{page}/shared", "callback": callback_of(base, server.slug), **document}


def accounts_text(office: Office, server: Server) -> str:
    """The same in words; empty for other modes."""
    found = accounts_of(office, server)
    if not found:
        return ""
    lines = [f"each person connects their own at {found['connect']}"] if "connect" in found else []
    if "connect_shared" in found:
        lines += [
            f"{_SHARED[Auth(server.auth)]} {found['connect_shared']}",
            f"redirect URI, for an app that you register there by hand: {found['callback']}",
        ]
    if "client_document" in found:
        lines.append(f"where documents of clients are read (CIMD), ours is {found['client_document']}")
    return "\n".join(("Accounts:", *(f"  {line}" for line in lines)))
