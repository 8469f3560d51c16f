"""Our client at the authorization server of each server: the administrator's, our document, or one that we registered.

The order is MCP's ("Client Registration Approaches"). What one authorization server gave is never shown to another
(SEP-2352): it is kept by (server, issuer).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gateway.credentials import Refused
from gateway.credentials.connections.links import connect_url
from gateway.credentials.oauth.client import own_documents
from gateway.credentials.oauth.client.proving import App
from gateway.credentials.oauth.client.registering import register
from gateway.journal import GATEWAY
from registry.credentials import upstream_clients
from registry.credentials.authenticating import owner
from registry.errors import SecretRefused
from registry.tables import UpstreamClient

if TYPE_CHECKING:
    from gateway.credentials.equipment import Equipment
    from gateway.credentials.oauth.finding.discovery import Found
    from registry.catalogue import Upstream

ENDING: Final = 3600.0  # seconds before its secret ends that a client is not used any more for something new


def callback_of(base: str, slug: str) -> str:
    """Where an authorization server sends browsers back to; it stays for as long as the server has its name."""
    return f"{connect_url(base, slug)}/callback"


def app_for(equipment: Equipment, upstream: Upstream, found: Found, scopes: tuple[str, ...]) -> App:
    """The client to begin something new with; made where there is none. Raises Refused, Unanswered."""
    issuer = found.authority.issuer
    if _client_id(upstream):
        return _configured_here(equipment, upstream, issuer)
    row = _row(equipment, upstream.slug, issuer)
    if row is not None and _still_good(equipment, row, upstream.slug) and _is_safe(upstream, found, row):
        return _opened(equipment, row)
    if found.authority.reads_documents and own_documents.can_be_read(equipment.office.settings.base_url):
        method = _method(upstream, found)
        if method:
            return _keep_document(equipment, upstream, found, method)
    return _register(equipment, upstream, found, scopes)


def known(equipment: Equipment, upstream: Upstream, issuer: str, client_id: str) -> App:
    """The client that something was begun with, to go on with; raises Refused when we are it no more."""
    if _client_id(upstream):
        app = configured(equipment, upstream, issuer)
        if app.id == client_id:
            return app
    else:
        row = _row(equipment, upstream.slug, issuer)
        if row is not None and row.client_id == client_id and row.how != "configured":
            return _opened(equipment, row)
    raise Refused("this was given to another client of ours than the one that is used now")


def configured(equipment: Equipment, upstream: Upstream, issuer: str) -> App:
    """The one that an administrator registered, with the secrets that they stored."""
    settings = upstream.auth_settings
    method = str(getattr(settings, "client_auth", "none"))
    needs = "client_secret" if method.startswith("client_secret") else ""
    secret = _secret(equipment, upstream, needs) if needs else ""
    key = _key(equipment, upstream) if method == "private_key_jwt" else b""
    return App(id=_client_id(upstream), method=method, issuer=issuer, secret=secret, key=key)


def forget(equipment: Equipment, upstream: Upstream, issuer: str) -> None:
    """The authorization server does not know us any more: the next one who connects has us registered anew."""
    office = equipment.office
    with office.database.change() as session:
        row = session.get(UpstreamClient, (upstream.slug, issuer))
        if row is not None and row.how == "dynamic":
            upstream_clients.forget(session, office.vault, row)


def _client_id(upstream: Upstream) -> str:
    return str(getattr(upstream.auth_settings, "client_id", ""))


def _configured_here(equipment: Equipment, upstream: Upstream, issuer: str) -> App:
    """On record. Its secret is for the authorization server that an administrator wrote down (`AppSettings`)."""
    app = configured(equipment, upstream, issuer)
    office = equipment.office
    with office.database.read() as session:
        known = session.get(UpstreamClient, (upstream.slug, issuer))
    if known is None or (known.client_id, known.auth_method, known.how) != (app.id, app.method, "configured"):
        row = UpstreamClient(
            server=upstream.slug, issuer=issuer, client_id=app.id, how="configured", auth_method=app.method,
            registered_at=equipment.clock(),
        )  # fmt: skip
        with office.database.change() as session:
            upstream_clients.keep(session, office.vault, row)
    return app


def _method(upstream: Upstream, found: Found) -> str:
    """How we prove to be who our document says; empty where it would be a danger to say it.

    The same document is good at every authorization server. One that says nothing of itself in its answers could lead
    people on to another, and would be brought that one's code together with all that it takes to redeem it: unless that
    takes our key, or an administrator wrote down who it is (RFC 9700 section 4.4, RFC 9207).
    """
    if "private_key_jwt" in found.authority.methods:
        return "private_key_jwt"
    return "none" if found.authority.promises_iss or upstream.auth_settings.authority else ""


def _is_safe(upstream: Upstream, found: Found, row: UpstreamClient) -> bool:
    return (row.how, row.auth_method) != ("metadata", "none") or bool(_method(upstream, found))


def _keep_document(equipment: Equipment, upstream: Upstream, found: Found, method: str) -> App:
    ident = own_documents.document_of(equipment.office.settings.base_url, upstream.slug, method)
    app = App(id=ident, method=method, issuer=found.authority.issuer)
    _store(equipment, upstream, app, "metadata", None)
    return app


def _register(equipment: Equipment, upstream: Upstream, found: Found, scopes: tuple[str, ...]) -> App:
    redirect_uri = callback_of(equipment.office.settings.base_url, upstream.slug)
    if not found.authority.registration_endpoint:
        raise Refused(_nobody_knows_us(upstream, found, redirect_uri))
    made = register(equipment, found.authority, redirect_uri, scopes)
    return _store(equipment, upstream, made.app, "dynamic", made.secret_until)


def _nobody_knows_us(upstream: Upstream, found: Found, redirect_uri: str) -> str:
    by_hand = (
        f"an administrator has to register an app there, with the redirect URI {redirect_uri}, and to say its id with "
        f"`ostiary server auth {upstream.slug} {upstream.auth} --client-id ...`"
    )
    if found.authority.reads_documents and not _method(upstream, found):
        return (
            "the authorization server reads what we say of ourselves, and does not say in its answers who it is "
            f"(RFC 9207): {by_hand}, or to say that it is the right one with --issuer {found.authority.issuer}"
        )
    return f"the authorization server registers nobody by itself: {by_hand}"


def _store(equipment: Equipment, upstream: Upstream, app: App, how: str, secret_until: float | None) -> App:
    """On record. Of two that registered at once the first counts, for people are on their way with its id."""
    office = equipment.office
    row = UpstreamClient(
        server=upstream.slug, issuer=app.issuer, client_id=app.id, how=how, auth_method=app.method,
        redirect_uri=callback_of(office.settings.base_url, upstream.slug), registered_at=equipment.clock(),
        secret_until=secret_until,
    )  # fmt: skip
    facts: dict[str, Any] = {"server": upstream.slug, "issuer": app.issuer, "client": app.id, "how": how}
    with office.change("server.client", who=GATEWAY, **facts) as (session, _):
        before = session.get(UpstreamClient, (upstream.slug, app.issuer), with_for_update=True)
        if before is not None and before.how == how and _still_good(equipment, before, upstream.slug):
            return _opened(equipment, before)
        upstream_clients.keep(session, office.vault, row, app.secret)
    return app


def _still_good(equipment: Equipment, row: UpstreamClient, slug: str) -> bool:
    base = equipment.office.settings.base_url
    if row.how == "configured" or row.redirect_uri != callback_of(base, slug):
        return False
    if row.how == "metadata":
        return row.client_id == own_documents.document_of(base, slug, row.auth_method)
    return row.secret_until is None or row.secret_until > equipment.clock() + ENDING


def _opened(equipment: Equipment, row: UpstreamClient) -> App:
    office, secret = equipment.office, ""
    if row.how == "dynamic" and row.auth_method.startswith("client_secret"):
        try:
            with office.database.read() as session:
                secret = upstream_clients.secret_of(session, office.vault, row)
        except SecretRefused as refused:
            raise Refused(
                "the secret of our client there does not open: it was changed, moved or put back"
            ) from refused
    return App(id=row.client_id, method=row.auth_method, issuer=row.issuer, secret=secret)


def _row(equipment: Equipment, slug: str, issuer: str) -> UpstreamClient | None:
    with equipment.office.database.read() as session:
        return session.get(UpstreamClient, (slug, issuer))


def _secret(equipment: Equipment, upstream: Upstream, purpose: str) -> str:
    try:
        with equipment.office.database.read() as session:
            return equipment.office.vault.open_secret(session, owner(upstream.slug), purpose).decode().strip()
    except (SecretRefused, UnicodeDecodeError) as refused:
        raise Refused(
            "the secret of our client there is not stored, or does not open: `ostiary server credential "
            f"{upstream.slug} --client-secret-file FILE` stores it"
        ) from refused


def _key(equipment: Equipment, upstream: Upstream) -> bytes:
    """Without one of its own, the client signs as we sign, with the keys at /oauth/jwks."""
    try:
        with equipment.office.database.read() as session:
            return equipment.office.vault.open_secret(session, owner(upstream.slug), "client_key")
    except SecretRefused:
        return b""
