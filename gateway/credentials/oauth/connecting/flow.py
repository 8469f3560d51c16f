"""Connecting an account in a browser: leaving for the authorization server, and coming back with a code (OAuth 2.1).

Plain synchronous functions, for threads. Whose browser it is, and whether they may, is for the pages to know.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit, urlunsplit

from gateway.credentials import Refused
from gateway.credentials.connections import deeds
from gateway.credentials.oauth.asking import keeping, possession, tokens
from gateway.credentials.oauth.client import apps
from gateway.credentials.oauth.connecting import departures
from gateway.credentials.oauth.connecting.answers import read_answer
from gateway.credentials.oauth.connecting.departures import ConnectRefused, Journey
from gateway.credentials.oauth.finding.authorities import OFFLINE
from gateway.credentials.oauth.finding.resources import parameter
from idp_adapters.contract import Departure
from registry.catalogue.assembling import upstream_of
from registry.credentials import connections
from registry.errors import SecretRefused
from registry.servers import exception_lines, find
from registry.tables import PendingConnect

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from gateway.credentials.equipment import Equipment
    from gateway.credentials.oauth.asking.possession import Holder
    from gateway.credentials.oauth.finding.authorities import Authority
    from gateway.credentials.oauth.finding.discovery import Found
    from registry.catalogue import Upstream
    from registry.credentials.connections import Tokens
    from registry.tables import Connection


@dataclass(frozen=True, slots=True)
class Arrived:
    """Somebody came back, and the account is connected. `back_to` is where they wanted to go."""

    connection: Connection
    title: str
    back_to: str


def begin(
    equipment: Equipment,
    upstream: Upstream,
    *,
    subject: str,
    person: str,
    browser: str,
    scopes: Collection[str] = (),
    back_to: str = "",
) -> Departure:
    """Where the browser of `person` goes to connect the account of `subject` (empty: the shared one).

    `browser` is whatever the browser alone has, and comes back with; `scopes` what is wanted besides what the account
    has. What servers say of themselves is read afresh. Raises Refused, Unanswered.
    """
    office, equipment = equipment.office, equipment.toward(upstream)
    with equipment.crowd.one(upstream.slug, person):
        found = equipment.discovery.find(equipment.fetcher, upstream, fresh=True)
        endpoint = found.authority.for_codes()
        found.authority.for_tokens()
        held = _held(equipment, upstream, subject, found.authority) if scopes else ()
        wanted = _scopes(upstream, found, held, scopes)
        app = apps.app_for(equipment, upstream, found, wanted)
    holder = possession.fresh(equipment) if possession.wanted(found) else None
    callback = apps.callback_of(office.settings.base_url, upstream.slug)
    journey = _journey(upstream, found, app.id, callback, wanted, holder)
    state = secrets.token_urlsafe(32)
    row = PendingConnect(
        state="", server=upstream.slug, subject=subject, person=person, browser=browser, sealed=b"",
        issuer=found.authority.issuer, back_to=back_to, expires_at=equipment.clock() + departures.LIFE,
    )  # fmt: skip
    with office.database.change() as session:
        departures.remember(session, office.vault, state, row, journey)
    return Departure(url=_with(endpoint, _asked(journey, state, "" if holder is None else holder.jkt)))


def _journey(
    upstream: Upstream, found: Found, client_id: str, callback: str, scopes: tuple[str, ...], holder: Holder | None
) -> Journey:
    return Journey(
        verifier=secrets.token_urlsafe(48),
        client_id=client_id,
        redirect_uri=callback,
        resource=found.resource.name,
        parameter=parameter(upstream, found.resource.name, told=not found.resource.old),
        scopes=scopes,
        key=b"" if holder is None else holder.exported(),
        bound=found.resource.bound,
        named=found.authority.promises_iss,
    )


def is_awaited(equipment: Equipment, parameters: Mapping[str, str]) -> bool:
    """Whether somebody is away with this state: a stranger's address is no reason to do anything."""
    with equipment.office.database.read() as session:
        return departures.is_awaited(session, parameters.get("state", ""))


def finish(
    equipment: Equipment,
    slug: str,
    parameters: Mapping[str, str],
    *,
    browser: str,
    person: str,
    who: str = "",
    shares: bool = False,
) -> Arrived:
    """What came back to the callback of `slug`, in the browser of `person`, called `who` in records.

    State, server, browser, person, time and issuer must agree before anything of it is used or shown (T-30), and the
    account that all share is connected only by somebody who still may (`shares`). Raises
    ConnectRefused when they do not, Refused and Unanswered as the authorization server will have it.
    """
    with equipment.crowd.one(slug):  # before the state is spent
        return _finished(equipment, slug, parameters, browser, person, who, shares=shares)


def _finished(
    equipment: Equipment, slug: str, parameters: Mapping[str, str], browser: str, person: str, who: str, *, shares: bool
) -> Arrived:
    office, state = equipment.office, parameters.get("state", "")
    row, journey = _taken(equipment, slug, state, browser, person)
    if not row.subject and not shares:
        raise ConnectRefused("no_administrator", "only an administrator connects the account that all share")
    with office.database.read() as session:
        upstream = upstream_of(find(session, slug), [*office.settings.allow_addresses, *exception_lines(session)])
    equipment = equipment.toward(upstream)
    authority = equipment.discovery.authority(equipment.fetcher, upstream, row.issuer)
    code = read_answer(parameters, authority, promised=journey.named)
    granted = _redeemed(equipment, upstream, authority, journey, code)
    connection = _kept(equipment, row, journey, granted, who or person)
    return Arrived(connection, upstream.title or slug, row.back_to)


def _scopes(upstream: Upstream, found: Found, held: Collection[str], wanted: Collection[str]) -> tuple[str, ...]:
    """MCP, "Scope Selection Strategy": what is configured, else what the server's challenge named, else all that it
    has; when more is wanted, together with what was given before (SEP-2350). `offline_access` is asked for where the
    authorization server has it, and never alone (SEP-2207).
    """
    configured: tuple[str, ...] = getattr(upstream.auth_settings, "scopes", ())
    chosen = configured or found.resource.wanted or found.resource.scopes
    chosen = tuple(dict.fromkeys((*(held or chosen), *configured, *wanted))) if wanted else chosen
    if chosen and found.authority.offers_offline and OFFLINE not in chosen:
        return (*chosen, OFFLINE)
    return chosen


def _held(equipment: Equipment, upstream: Upstream, subject: str, authority: Authority) -> tuple[str, ...]:
    with equipment.office.database.read() as session:
        row = connections.find(session, upstream.slug, subject)
    return tuple(row.scopes) if row is not None and row.issuer == authority.issuer else ()


def _asked(journey: Journey, state: str, jkt: str) -> dict[str, str]:
    """RFC 6749 section 4.1.1, RFC 7636, RFC 8707, RFC 9449 section 10; OpenID Connect Core section 11 for `prompt`."""
    challenge = base64.urlsafe_b64encode(hashlib.sha256(journey.verifier.encode()).digest()).rstrip(b"=").decode()
    asked = {
        "response_type": "code", "client_id": journey.client_id, "redirect_uri": journey.redirect_uri, "state": state,
        "code_challenge": challenge, "code_challenge_method": "S256", "resource": journey.parameter,
        "scope": " ".join(journey.scopes), "prompt": "consent" if OFFLINE in journey.scopes else "",
        "dpop_jkt": jkt,
    }  # fmt: skip
    return {name: value for name, value in asked.items() if value}


def _with(endpoint: str, parameters: Mapping[str, str]) -> str:
    """RFC 6749 section 3.1: a query that the address has is kept."""
    parts = urlsplit(endpoint)
    return urlunsplit(parts._replace(query="&".join(filter(None, (parts.query, urlencode(parameters))))))


def _taken(equipment: Equipment, slug: str, state: str, browser: str, person: str) -> tuple[PendingConnect, Journey]:
    """Gone at the first look, whatever else is wrong with it."""
    office = equipment.office
    if not is_awaited(equipment, {"state": state}):
        raise ConnectRefused("state_unknown")
    with office.database.change() as session:
        row = departures.take(session, state)
    departures.check(row, slug=slug, browser=browser, person=person, now=equipment.clock())
    return row, departures.opened(office.vault, state, row)


def _redeemed(
    equipment: Equipment, upstream: Upstream, authority: Authority, journey: Journey, code: str
) -> tokens.Granted:
    app = apps.known(equipment, upstream, authority.issuer, journey.client_id)
    form = {
        "grant_type": "authorization_code", "code": code, "redirect_uri": journey.redirect_uri,
        "code_verifier": journey.verifier, "resource": journey.parameter,
    }  # fmt: skip
    holder = possession.opened(equipment, journey.key)
    try:
        granted = tokens.request(equipment, authority.for_tokens(), app, form, holder, plain=authority.plain)
    except tokens.ClientForgotten as forgotten:
        apps.forget(equipment, upstream, authority.issuer)
        raise Refused(f"{forgotten}; begin anew, and we register anew where we may") from forgotten
    except Refused:
        equipment.discovery.forget(upstream, authority.issuer)
        raise
    if journey.bound and not granted.bound:
        raise Refused(possession.UNBOUND)
    return granted


def _kept(equipment: Equipment, row: PendingConnect, journey: Journey, granted: tokens.Granted, who: str) -> Connection:
    """On record, and from now on used."""
    kept = keeping.first(
        granted,
        equipment.clock(),
        issuer=row.issuer,
        audience=journey.resource,
        scopes=journey.scopes,
        client_id=journey.client_id,
        key=journey.key,
    )
    counted = keeping.following(kept, _before(equipment, row))
    began = row.expires_at - departures.LIFE
    return deeds.connect(equipment, row.server, row.subject, counted, who=who, since=began)


def _before(equipment: Equipment, row: PendingConnect) -> Tokens | None:
    """What was kept until now; what does not open, or is of another issuer, counts for nothing."""
    office = equipment.office
    with office.database.read() as session:
        known = connections.find(session, row.server, row.subject)
        if known is None or known.issuer != row.issuer:
            return None
        try:
            return connections.tokens_of(session, office.vault, known)
        except SecretRefused:
            return None
