"""GET /oauth/authorize and POST /oauth/consent: the pages around `gateway.oauth.browser.authorizing`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.responses import RedirectResponse

from authz.clients import redirects
from authz.scopes import ALL
from gateway.oauth.answering import catch_up, count, new_desk, spread
from gateway.oauth.asking import read_query
from gateway.oauth.browser.authorizing import allow, consider, deny, is_unsure, leads_to, prove, tell_client
from gateway.oauth.browser.stepping_up import AGAIN, Unmet, has_to_sign_in
from gateway.oauth.clients.documents import DocumentRefused, is_document_id, know
from gateway.oauth.issuing import IssuingServer
from gateway.oauth.problems import Refused
from gateway.pages.gate import address_of
from gateway.pages.render import message, page, see_other, sign_in_again, to_sign_in
from gateway.pages.session import posted, signed_in, world_of
from gateway.problems import sentence
from gateway.rendezvous import RendezvousDown
from registry.database import Concern
from registry.errors import SecretRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from authz.people.sessions import SignedIn
    from gateway.oauth.browser.question import Question
    from gateway.oauth.issuing import Desk
    from gateway.oauth.replies import Reply
    from gateway.world import World

ANSWER_WITHIN = 600.0  # seconds that somebody may look at the consent page
DOCUMENTS, WINDOW = 20, 60.0  # documents fetched for one person in so many seconds


class _Stale(Exception):
    """The form of another person, another browser session, or of too long ago."""


def ask(request: Request) -> Response:
    """GET /oauth/authorize (RFC 6749 section 4.1.1)"""
    try:
        parameters = read_query(request.scope["query_string"])
        _prove_early(request, parameters)
        me = signed_in(request)
        if me is None:
            return to_sign_in(request)
        _learn_client(request, parameters, me)
    except Refused as refused:
        return _error_page(request, refused)
    except DocumentRefused as refused:
        return message(request, 400, "This client cannot be used", sentence(str(refused)))
    catch_up(world_of(request))
    return _put(request, parameters, me)


def ask_elsewhere(request: Request) -> Response:
    """GET /authorize: to where it is."""
    query = request.scope["query_string"].decode("latin-1")
    return see_other(f"/oauth/authorize?{query}")


def answer(request: Request) -> Response:
    """POST /oauth/consent"""
    form = posted(request)
    me = signed_in(request)
    if me is None:
        return see_other("/signin")
    try:
        parameters = _unseal(request, form.get("request", ""), me)
    except _Stale:
        return message(request, 400, "This question is too old", "Start again from your client.")
    catch_up(world_of(request))
    return _decide(request, parameters, me, allow if form.get("answer") == "allow" else deny)


def _prove_early(request: Request, parameters: Mapping[str, str]) -> None:
    """What is wrong with the client or its redirect URI is said before anybody types a password."""
    if is_document_id(parameters.get("client_id", "")):
        return
    with world_of(request).office.database.read() as session:
        prove(IssuingServer(new_desk(request, session)), parameters)


def _learn_client(request: Request, parameters: Mapping[str, str], me: SignedIn) -> None:
    client_id, world = parameters.get("client_id", ""), world_of(request)
    if not is_document_id(client_id):
        return
    try:
        looked_up = count(world, f"documents:{me.person.id}", WINDOW)
    except RendezvousDown as down:
        raise DocumentRefused("it cannot be looked up just now; try again") from down
    if looked_up > DOCUMENTS:
        raise DocumentRefused("too many clients were looked up in the last minute; wait a little")
    know(world, client_id, me.person.label)


def _put(request: Request, parameters: Mapping[str, str], me: SignedIn) -> Response:
    """The consent page, for which nothing is locked; or, where this was allowed before, the answer at once."""
    with world_of(request).office.database.read() as session:
        desk = new_desk(request, session)
        try:
            question = consider(desk, parameters, me)
            if has_to_sign_in(question):
                return sign_in_again(request, f"{AGAIN}=1")
            settled = question.settled
        except Unmet as unmet:
            unmet.redirect_uri, unmet.state = question.redirect_uri, parameters.get("state")
            return _turn_away(request, desk, parameters, unmet)
        except Refused as refused:
            return _turn_away(request, desk, parameters, refused)
    return _decide(request, parameters, me, allow) if settled else _consent_page(request, question)


def _turn_away(request: Request, desk: Desk, parameters: Mapping[str, str], refused: Refused) -> Response:
    """To the client, once it is proven; before that, to the person."""
    if not refused.redirect_uri:
        return _error_page(request, refused)
    told = _redirect(tell_client(desk, parameters, refused))
    desk.record()
    return told


def _decide(
    request: Request,
    parameters: Mapping[str, str],
    me: SignedIn,
    step: Callable[[Question], Reply],
) -> Response:
    """One transaction: the request is judged anew, then one step is taken."""
    world = world_of(request)
    with world.office.database.change() as session:
        desk = new_desk(request, session)
        try:
            done = _redirect(step(consider(desk, parameters, me)))
        except Refused as refused:
            return _turn_away(request, desk, parameters, refused)
        desk.write_down()
        first_use = Concern.PEOPLE in desk.moved
    if first_use:
        spread(world)
    return done


def _consent_page(request: Request, question: Question) -> Response:
    client, uri = question.client, question.redirect_uri
    return page(
        request,
        "consent.html",
        form_action=redirects.source(uri),
        request_sealed=_seal(world_of(request), question),
        client=client,
        vouched=vouched(client.origin, client.id),
        leads_to=leads_to(uri),
        redirect_uri=uri,
        unsure=is_unsure(client, uri),
        resource=question.resource,
        scopes=[in_words(scope) for scope in question.scope.split(" ")],
    )


def vouched(origin: str, client_id: str) -> str:
    """On whose word the client has its name."""
    if origin == "registered":
        return "An administrator has registered this client."
    if origin == "metadata":
        return f"It describes itself at {client_id}."
    return "It registered itself and could call itself anything."


def in_words(scope: str) -> str:
    if scope == ALL:
        return "use every tool, prompt and resource that you may use here"
    server, _, name = scope.partition(".")
    return f"use all that you may use of the server {server}" if name == "*" else f"use {name} of the server {server}"


def _seal(world: World, question: Question) -> str:
    body = msgspec.json.encode({"until": time.time() + ANSWER_WITHIN, "parameters": question.ask.parameters})
    return world.office.vault.wrap(_context(question.me), body).hex()


def _unseal(request: Request, sealed: str, me: SignedIn) -> dict[str, str]:
    try:
        body: dict[str, Any] = msgspec.json.decode(
            world_of(request).office.vault.unwrap(_context(me), bytes.fromhex(sealed))
        )
    except (SecretRefused, ValueError) as error:
        raise _Stale from error
    if body["until"] < time.time():
        raise _Stale
    parameters: dict[str, str] = body["parameters"]
    return parameters


def _context(me: SignedIn) -> bytes:
    """A question is put to one browser session and can be answered in no other."""
    return f"consent:{me.person.id}:{me.session}".encode()


def _redirect(reply: Reply) -> Response:
    """303, so that no form is sent on (RFC 9700 section 4.12)."""
    return RedirectResponse(
        reply.location, 303, headers={"cache-control": "no-store", "referrer-policy": "no-referrer"}
    )


def _error_page(request: Request, refused: Refused) -> Response:
    world_of(request).journal.refused_unauthenticated(
        address_of(request), reason=f"oauth.{refused.error}", path=request.scope["path"]
    )
    words = str(refused.get_error_description() or refused.error)
    return message(request, 400, "The client asked for something that cannot be", sentence(words))
