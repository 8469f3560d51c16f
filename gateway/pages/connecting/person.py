"""A person's accounts at servers: what there is, what waits for them, and the page that a call led them to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.credentials.connections import deeds
from gateway.credentials.connections.links import LinkRefused, read_ticket
from gateway.pages.connecting.departing import go_on, tell_waiting
from gateway.pages.connecting.showing import Led, list_page, one_page, upstream_of
from gateway.pages.gate import address_of, for_person
from gateway.pages.render import message, not_found, see_other
from gateway.pages.session import posted, world_of
from gateway.problems import sentence
from registry.credentials.modes.static import StaticSettings
from registry.errors import RegistryError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from authz.people.sessions import SignedIn
    from gateway.credentials.connections.links import Ticket

LONGEST_VALUE: Final = 8000


@for_person
def show(request: Request, me: SignedIn) -> Response:
    """GET /connect: all of this person's accounts; with `then`, on to the next of several that are being connected."""
    if "then" in request.query_params:
        return go_on(request, me, request.query_params["then"])
    return list_page(request, me)


@for_person
def show_one(request: Request, me: SignedIn) -> Response:
    """GET /connect/{slug}: one server, perhaps by the link that a call was answered with."""
    slug, led = request.path_params["slug"], Led(request.query_params.get("ticket", ""))
    if led.text:
        try:
            led = Led(led.text, read_ticket(world_of(request).office.vault, slug, led.text))
        except LinkRefused:
            return too_old(request)
        if led.ticket.subject != me.person.id:
            return somebody_else(request, me, led.ticket)
    upstream = upstream_of(request, me, slug, led)
    return not_found(request) if upstream is None else one_page(request, me, upstream, led)


@for_person
def give_value(request: Request, me: SignedIn) -> Response:
    """POST /connect/{slug}/value: kept sealed, and never shown again."""
    form = posted(request)
    upstream = upstream_of(request, me, request.path_params["slug"], Led())
    if upstream is None or not isinstance(upstream.auth_settings, StaticSettings):
        return not_found(request)
    try:
        value = _plain(form.get("value", ""))
        deeds.give(world_of(request).credentials.equipment, upstream, me.person.id, value, who=me.person.label)
    except RegistryError as refused:
        return one_page(request, me, upstream, Led(), error=sentence(str(refused)), status=400)
    tell_waiting(request, upstream.slug, me.person.id)
    return see_other(f"/connect?done={upstream.slug}")


@for_person
def end(request: Request, me: SignedIn) -> Response:
    """POST /connect/{slug}/end: it is not used any more, and what was kept of it goes."""
    posted(request)
    disconnect(request, me, request.path_params["slug"], me.person.id)
    return see_other("/connect")


def too_old(request: Request) -> Response:
    text = "It was made for another page, or more than half an hour ago. Call the tool again: a new one comes with it."
    return message(request, 410, "This link does not work any more", text)


def somebody_else(request: Request, me: SignedIn, ticket: Ticket) -> Response:
    """Who is led here by somebody else's call would connect an account for a client that is not theirs."""
    world_of(request).journal.note(
        "connection.refused",
        who=me.person.label,
        server=request.path_params["slug"],
        reason="somebody_elses_link",
        subject=ticket.subject,
        address=address_of(request),
    )
    text = (
        f"It was made for whoever made the call, and you are signed in as {me.person.handle}. If the call was yours, "
        "sign out here and sign in as you did for your client. If somebody sent you this link, close the page."
    )
    return message(request, 403, "This link is not yours", text)


def disconnect(request: Request, me: SignedIn, slug: str, subject: str) -> None:
    """Somebody's connection ends, by the word of a person who may say so."""
    who = me.person.label
    deeds.end(world_of(request).credentials.equipment, slug, subject, who=who, why=f"{who} disconnected it")


def _plain(given: str) -> bytes:
    """What was typed, if it can stand in a header. Raises RegistryError."""
    value = given.strip()
    if not value or len(value) > LONGEST_VALUE or not (value.isascii() and value.isprintable()):
        raise RegistryError(f"one line of plain characters is asked for, at most {LONGEST_VALUE} of them")
    return value.encode("ascii")
