"""On the way to the authorization server of a server, and back; one after the other where several are connected."""

from __future__ import annotations

import base64
import binascii
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import msgspec
from anyio import from_thread

from gateway.credentials import Refused, Unanswered
from gateway.credentials.connections.links import LinkRefused, read_ticket
from gateway.credentials.connections.news import Connected, spread
from gateway.credentials.oauth.connecting import flow
from gateway.oauth.answering import count
from gateway.oauth.asking import read_query
from gateway.oauth.problems import Refused as Unreadable
from gateway.pages.connecting.showing import Led, list_page, upstream_of
from gateway.pages.forms import FormRefused
from gateway.pages.gate import address_of, for_person, own_path
from gateway.pages.render import message, not_found, page, see_other
from gateway.pages.session import posted_with, signed_in, world_of
from gateway.problems import sentence
from gateway.rendezvous import RendezvousDown
from registry.credentials.modes.oauth import OAuthSettings
from registry.errors import RegistryError, SecretRefused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from authz.people.sessions import SignedIn
    from registry.catalogue import Upstream

SERVER: Final = "server"  # the field that comes once for each of several
MOST: Final = 50  # in one go
PER_MINUTE: Final = 60  # departures of one person
_LIFE: Final = 3600  # seconds for all that are connected in one go


class _Rest(msgspec.Struct, array_like=True):
    """What is still to be connected, in order."""

    servers: list[str]
    expires: int


@for_person
def depart(request: Request, me: SignedIn) -> Response:
    """POST /connect and /connect/{slug}: to the first authorization server, and from there to the others."""
    form, servers = posted_with(request, SERVER)
    first = request.path_params.get("slug", "")
    chosen = list(dict.fromkeys([*([first] if first else []), *servers]))
    if not chosen or len(chosen) > MOST:
        return list_page(request, me, error="Choose at least one.", status=400)
    try:
        led = _led(request, me, first, form.get("ticket", ""))
    except LinkRefused:
        return list_page(request, me, error="The link that led here does not work any more.", status=400)
    return _leave(request, me, chosen, led, by_page=True)


def go_on(request: Request, me: SignedIn, then: str) -> Response:
    """GET /connect?then=…: only what a form of ours in this very browser has begun goes on."""
    try:
        sealed = base64.b64decode(then.encode("ascii"), altchars=b"-_", validate=True)
        rest = msgspec.msgpack.decode(world_of(request).office.vault.unwrap(_context(me), sealed), type=_Rest)
    except (binascii.Error, ValueError, SecretRefused, msgspec.DecodeError):
        return list_page(request, me, error="Here it does not go on. Connect what is left from this page.", status=400)
    if rest.expires < time.time() or not rest.servers:
        return see_other("/connect")
    return _leave(request, me, rest.servers, Led(), by_page=False)


def come_back(request: Request) -> Response:
    """GET /connect/{slug}/callback: the answer of an authorization server."""
    me, slug, world = signed_in(request), request.path_params["slug"], world_of(request)
    if me is None:
        text = "You are not signed in here any more, so nothing was connected. Sign in and connect it again."
        return message(request, 400, "This did not work", text)
    try:
        said = read_query(request.scope["query_string"])
    except Unreadable as refused:
        raise FormRefused("What the authorization server sent back cannot be read.") from refused
    try:
        arrived = flow.finish(
            world.credentials.equipment,
            slug,
            said,
            browser=me.session,
            person=me.person.id,
            who=me.person.label,
            shares=me.is_admin,
        )
    except (Refused, Unanswered) as refused:
        return not_connected(request, me, slug, refused)
    except RegistryError:  # it was retired, or its address is not admitted any more
        return not_connected(request, me, slug, Refused("this server cannot be connected any more"))
    tell_waiting(request, slug, arrived.connection.subject)
    return see_other(own_path(arrived.back_to or f"/connect?done={slug}"))


def tell_waiting(request: Request, slug: str, subject: str) -> None:
    """Clients that were led here; they find out by themselves where nobody can be told."""
    with suppress(RendezvousDown):
        from_thread.run(spread, world_of(request).rendezvous, Connected(slug, subject))


def not_connected(request: Request, me: SignedIn, slug: str, refused: Refused | Unanswered) -> Response:
    """Nothing that an authorization server said is shown; the reason is on record in a word of ours."""
    world = world_of(request)
    reason = getattr(refused, "reason", "unanswered" if isinstance(refused, Unanswered) else "refused")
    if reason == "state_unknown":  # made up as often as somebody likes: counted, not written one by one
        world.journal.refused_unauthenticated(address_of(request), reason=f"connection.{reason}", path=_path(request))
    else:
        who = me.person.label
        world.journal.note("connection.refused", who=who, server=slug, reason=reason, address=address_of(request))
    return list_page(request, me, error=sentence(str(refused)), status=400 if isinstance(refused, Refused) else 502)


def leave_for(request: Request, me: SignedIn, upstream: Upstream, *, subject: str, led: Led, back_to: str) -> str:
    """The address of the authorization server to go to. Raises Refused or Unanswered."""
    world = world_of(request)
    if count(world, f"connects:{me.person.id}", 60.0) > PER_MINUTE:
        raise Unanswered("too many connections were begun within a minute; wait a little")
    departure = flow.begin(
        world.credentials.equipment,
        upstream,
        subject=subject,
        person=me.person.id,
        browser=me.session,
        scopes=frozenset(led.ticket.scopes),
        back_to=back_to,
    )
    return departure.url


def onward(request: Request, url: str, title: str) -> Response:
    """After a form it goes by way of a page: see `form-action`."""
    return page(
        request, "continue.html", next=url, title=f"On to {title}", text="One moment: there you say yes, or no."
    )


def _path(request: Request) -> str:
    path: str = request.scope["path"]
    return path[:200]


def _leave(request: Request, me: SignedIn, slugs: Sequence[str], led: Led, *, by_page: bool) -> Response:
    upstream = upstream_of(request, me, slugs[0], Led())
    if upstream is None or not isinstance(upstream.auth_settings, OAuthSettings):
        return not_found(request)
    back_to = f"/connect?then={_sealed(request, me, slugs[1:])}" if slugs[1:] else f"/connect?done={slugs[0]}"
    try:
        url = leave_for(request, me, upstream, subject=me.person.id, led=led, back_to=back_to)
    except (Refused, Unanswered) as refused:
        return not_connected(request, me, upstream.slug, refused)
    return onward(request, url, upstream.title or upstream.slug) if by_page else see_other(url)


def _led(request: Request, me: SignedIn, slug: str, text: str) -> Led:
    """What the link asked for, if it is still this person's. Raises LinkRefused."""
    if not text:
        return Led()
    ticket = read_ticket(world_of(request).office.vault, slug, text)
    if ticket.subject != me.person.id:
        raise LinkRefused
    return Led(text, ticket)


def _sealed(request: Request, me: SignedIn, slugs: Sequence[str]) -> str:
    rest = msgspec.msgpack.encode(_Rest(list(slugs), int(time.time()) + _LIFE))
    return base64.urlsafe_b64encode(world_of(request).office.vault.wrap(_context(me), rest)).decode()


def _context(me: SignedIn) -> bytes:
    return b"connect-then\x00" + me.session.encode()
