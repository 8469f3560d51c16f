"""POST /oauth/device (RFC 8628 section 3.1), and the page where a person answers for a device (section 3.3)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from authz.neighbours import neighbourhood
from authz.tables import Client
from authz.tokens import devices
from gateway.oauth.answering import catch_up, count, endpoint, new_desk
from gateway.oauth.asking import Ask, check_credentials
from gateway.oauth.browser.authorize import in_words, vouched
from gateway.oauth.evidence import gather
from gateway.oauth.grants.device import DEVICE_CODE
from gateway.oauth.issuing import IssuingServer
from gateway.oauth.problems import InvalidScope, TooMany, UnauthorizedClient
from gateway.oauth.replies import as_json
from gateway.pages.forms import read_form
from gateway.pages.gate import address_of, for_person
from gateway.pages.render import message, page
from gateway.pages.session import posted, world_of
from gateway.rendezvous import RendezvousDown

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from authz.people.sessions import SignedIn
    from authz.tables import DeviceGrant
    from gateway.oauth.clients.client import AskingClient
    from gateway.oauth.issuing import Desk

WINDOW, PER_ADDRESS, PER_PERSON = 60.0, 30, 10  # questions from one address, codes typed by one person, in seconds


@endpoint
def begin(request: Request) -> Response:
    """POST /oauth/device"""
    parameters, authorization = read_form(request), request.headers.get("authorization", "")
    check_credentials(parameters, authorization)
    world = world_of(request)
    if count(world, f"device:{neighbourhood(address_of(request))}", WINDOW) > PER_ADDRESS:
        raise TooMany("questions", WINDOW)
    evidence = gather(world, parameters)
    catch_up(world)
    with world.office.database.change() as session:
        desk = new_desk(request, session, evidence)
        begun = _begin(desk, Ask("POST", parameters, authorization))
        desk.write_down()
    where = f"{desk.base}/device"
    code = devices.spoken(begun.user_code)
    return as_json(200, {
        "device_code": begun.device_code,
        "user_code": code,
        "verification_uri": where,
        "verification_uri_complete": f"{where}?user_code={code}",
        "expires_in": int(devices.LIFE),
        "interval": int(devices.INTERVAL),
    })  # fmt: skip


def _begin(desk: Desk, ask: Ask) -> devices.Begun:
    server = IssuingServer(desk)
    client = _authenticated(server, ask)
    resource = server.check_target(ask.parameters.get("resource"), None)
    scope = client.get_allowed_scope(ask.payload.scope)
    if scope is None:
        raise InvalidScope("scope must be `mcp`, `server.*` or `server.tool`")
    desk.note("device.asked", f"client:{client.row.id}", resource=resource, scope=scope)
    return devices.begin(desk.session, client.row.id, resource, scope, desk.now)


def _authenticated(server: IssuingServer, ask: Ask) -> AskingClient:
    client = server.authenticated(ask, "device_authorization")
    if not client.check_grant_type(DEVICE_CODE):
        raise UnauthorizedClient("this client has not registered the device grant")
    return client


@for_person
def show(request: Request, _me: SignedIn) -> Response:
    """GET /device"""
    return page(request, "device.html", user_code=request.query_params.get("user_code", "")[:32], error="")


@for_person
def answer(request: Request, me: SignedIn) -> Response:
    """POST /device: first the code, then, with the code again, the answer."""
    form = posted(request)
    world, typed = world_of(request), form.get("user_code", "")[:32]
    try:
        tried = count(world, f"device-code:{me.person.id}", WINDOW)
    except RendezvousDown:
        return _again(request, typed, "This cannot be answered just now. Try again.", 503)
    if tried > PER_PERSON:
        return _again(request, typed, "Too many codes were tried. Wait a minute.", 429)
    with world.office.database.read() as session:
        row = devices.waiting(session, typed, time.time())
        client = session.get(Client, row.client) if row is not None else None
    if row is None or client is None:
        return _again(request, typed, "No device waits with this code. Codes live ten minutes; look again.", 404)
    if form.get("answer") not in {"allow", "deny"}:
        return _question(request, typed, row, client)
    return _settle(request, me, typed, form["answer"])


def _question(request: Request, typed: str, row: DeviceGrant, client: Client) -> Response:
    return page(
        request,
        "device_question.html",
        user_code=devices.spoken(devices.letters(typed)),  # as the device shows it
        client=client,
        vouched=vouched(client.origin, client.id),
        resource=row.resource,
        scopes=[in_words(scope) for scope in row.scope.split(" ")],
    )


def _settle(request: Request, me: SignedIn, typed: str, word: str) -> Response:
    office, said = world_of(request).office, devices.ALLOWED if word == "allow" else devices.DENIED
    who = me.person.label
    with office.change(f"device.{said}", who=who, address=address_of(request)) as (session, facts):
        row = devices.waiting(session, typed, time.time())
        if row is not None:
            devices.settle(session, row, me, said)
            facts |= {"client": row.client, "resource": row.resource, "scope": row.scope}
    if said == devices.DENIED:
        return message(request, 200, "It stays out", "The device was told no.")
    return message(request, 200, "It is connected", "Go on at the device. You can disconnect it on the portal's page.")


def _again(request: Request, typed: str, error: str, status: int) -> Response:
    return page(request, "device.html", status=status, user_code=typed, error=error)
