"""Newer tokens for an account that is connected, and telling its authorization server when that is over."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from gateway.credentials import Refused, Unanswered
from gateway.credentials.oauth.asking import keeping, possession, tokens
from gateway.credentials.oauth.client import apps
from gateway.credentials.oauth.finding.discovery import Found
from gateway.credentials.oauth.finding.documents import ask
from gateway.credentials.oauth.finding.moving import MOVED, has_moved
from gateway.credentials.oauth.finding.resources import parameter

if TYPE_CHECKING:
    from gateway.credentials.equipment import Equipment
    from gateway.credentials.oauth.asking.possession import Holder
    from gateway.credentials.oauth.client.proving import App
    from gateway.credentials.oauth.finding.authorities import Authority
    from registry.catalogue import Upstream
    from registry.credentials.connections import Tokens
    from registry.tables import Connection


def renew(equipment: Equipment, upstream: Upstream, connection: Connection, kept: Tokens) -> Tokens:
    """Presents the refresh token to the authorization server that gave it, and to no other (SEP-2352).

    Raises Refused when only a person can mend it, Unanswered for all that may pass.
    """
    if not kept.refresh:
        raise Refused("it has run out, and it cannot be renewed; connect it again")
    if has_moved(equipment, upstream, connection.issuer, fresh=False):
        raise Refused(MOVED)
    equipment = equipment.toward(upstream)
    authority = _authority(equipment, upstream, kept.issuer)
    app = apps.known(equipment, upstream, kept.issuer, kept.client_id)
    form = {"grant_type": "refresh_token", "refresh_token": kept.refresh}
    form["resource"] = parameter(upstream, kept.audience, told=False)  # one that is left out stays as it was
    holder = possession.opened(equipment, kept.key) or _begun(equipment, upstream, authority)
    try:
        granted = tokens.request(equipment, authority.for_tokens(), app, form, holder, plain=authority.plain)
    except tokens.ClientForgotten as forgotten:
        apps.forget(equipment, upstream, kept.issuer)
        raise Refused(f"{forgotten}; connect it again") from forgotten
    except Refused as refused:
        raise Refused(f"{refused}; connect it again") from refused
    except Unanswered:
        equipment.discovery.forget(upstream, kept.issuer)
        raise
    return keeping.renewed(granted, kept, equipment.clock(), b"" if holder is None else holder.exported())


def revoke(equipment: Equipment, upstream: Upstream, connection: Connection, kept: Tokens) -> None:  # noqa: ARG001
    """RFC 7009: with the refresh token ends all that came of it. Nothing, where there is no place to say it."""
    equipment = equipment.toward(upstream)
    authority = _authority(equipment, upstream, kept.issuer)
    if not authority.revocation_endpoint:
        return
    app = apps.known(equipment, upstream, kept.issuer, kept.client_id)
    _tell(equipment, authority.revocation_endpoint, app, kept.refresh or kept.access, refresh=bool(kept.refresh))


def _begun(equipment: Equipment, upstream: Upstream, authority: Authority) -> Holder | None:
    """A key for a connection that has none, where the server has come to want tokens that are bound to one."""
    with suppress(Refused, Unanswered):  # then it is as it was
        if possession.wanted(Found(equipment.discovery.resource(equipment.fetcher, upstream), authority)):
            return possession.fresh(equipment)
    return None


def _authority(equipment: Equipment, upstream: Upstream, issuer: str) -> Authority:
    """What it says of itself. A document that does not hold together may be mended there, and no person can."""
    try:
        return equipment.discovery.authority(equipment.fetcher, upstream, issuer)
    except Refused as refused:
        raise Unanswered(str(refused)) from refused


def _tell(equipment: Equipment, endpoint: str, app: App, token: str, *, refresh: bool) -> None:
    headers, proof = app.proof(equipment, endpoint)
    form = {"token": token, "token_type_hint": "refresh_token" if refresh else "access_token", **proof}
    head = {"content-type": "application/x-www-form-urlencoded", **headers}
    fetcher, body = equipment.fetcher, urlencode(form).encode()
    answer = ask(
        lambda: fetcher.send("POST", endpoint, headers=head, body=body, limit=tokens.LIMIT, timeout=tokens.TIMEOUT),
        "the place where the authorization server is told that tokens have ended",
    )
    if answer.status != 200:
        raise Unanswered(f"the authorization server does not end the token (status {answer.status})")
