"""The browser's half of the code flow: who asks, whether it may be asked, the person's answer, the way back.

Nothing is redirected anywhere until the client and its redirect URI are proven, and nobody is asked who has not
signed in (RFC 9700 section 4.11.2). A consent is remembered per person, client, redirect, resource and scope, and
only for https redirects: behind any other, a different program may be waiting (RFC 8252 section 8.6).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from authz.clients import redirects
from authz.clients.known import mark_used
from authz.tables import Consent
from authz.tokens.families import Allowance
from gateway.oauth.asking import Ask
from gateway.oauth.browser.question import Question
from gateway.oauth.browser.stepping_up import read_wanted
from gateway.oauth.grants.code import CodeGrant, S256Only
from gateway.oauth.issuing import IssuingServer
from gateway.oauth.problems import InvalidRequest, Refused
from registry.database import Concern, upsert

if TYPE_CHECKING:
    from collections.abc import Mapping

    from authz.people.sessions import SignedIn
    from authz.tables import Client
    from gateway.oauth.issuing import Desk
    from gateway.oauth.replies import Reply


_THUMBPRINT = re.compile(r"(?:[A-Za-z0-9_-]{43})?")


class UnsupportedResponse(Refused):
    error = "unsupported_response_type"
    description = "response_type must be code"


def consider(desk: Desk, parameters: Mapping[str, str], me: SignedIn) -> Question:
    """The question to put. Raises Refused; with a `redirect_uri` in it once the client may be told."""
    server = IssuingServer(desk)
    server.register_grant(CodeGrant, [S256Only(required=True)])
    ask = Ask("GET", parameters)
    known = prove(server, parameters)
    try:
        if parameters.get("response_type") != "code":
            raise UnsupportedResponse
        resource = server.check_target(parameters.get("resource"), None)
        if _THUMBPRINT.fullmatch(parameters.get("dpop_jkt", "")) is None:
            raise InvalidRequest("dpop_jkt must be a SHA-256 thumbprint (RFC 7638)")
        read_wanted(parameters)
        grant = server.get_consent_grant(ask, end_user=me.person)
    except Refused as refused:
        refused.redirect_uri, refused.state = known, parameters.get("state")
        raise
    return Question(server, grant, ask, me, resource)


def prove(server: IssuingServer, parameters: Mapping[str, str]) -> str:
    """The redirect URI, of a client that we know and that has registered it. Until then nothing leads anywhere."""
    client = server.query_client(parameters.get("client_id", ""))
    if client is None:
        raise InvalidRequest(
            "no client with this client_id is known here; remove the connection there and add it again"
        )
    return CodeGrant.validate_authorization_redirect_uri(Ask("GET", parameters), client)


def allow(question: Question) -> Reply:
    """Yes: the consent is kept, and a code goes to the redirect URI."""
    desk, me = question.server.desk, question.me
    question.grant.allowed = Allowance(
        client=question.client.id, person=me.person.id, resource=question.resource, scope=question.scope,
        auth_time=me.auth_time, acr=me.acr, amr=me.amr, session=me.session,
        jkt=question.ask.parameters.get("dpop_jkt", ""),
    )  # fmt: skip
    _remember(question)
    if mark_used(question.client, desk.now):
        desk.moved.add(Concern.PEOPLE)
    desk.session.add(question.client)
    return _respond(question, "code.issued")


def deny(question: Question) -> Reply:
    """No: the client learns access_denied."""
    return _respond(question, "consent.denied", granted=False)


def tell_client(desk: Desk, parameters: Mapping[str, str], refused: Refused) -> Reply:
    """The refusal, at the redirect URI that was proven, with who it is from (RFC 9207 section 2)."""
    server = IssuingServer(desk)
    reply = server.handle_error_response(Ask("GET", parameters), refused)
    server.execute_hook("after_create_authorization_response", reply)
    return reply


def _respond(question: Question, event: str, *, granted: bool = True) -> Reply:
    who = f"user:{question.me.person.handle}"
    question.server.desk.note(
        event, who, client=question.client.id, redirect_uri=question.redirect_uri,
        resource=question.resource, scope=question.scope,
    )  # fmt: skip
    reply: Reply = question.server.create_authorization_response(
        question.ask, grant_user=question.me.person if granted else None, grant=question.grant
    )
    return reply


def _remember(question: Question) -> None:
    if question.settled:
        return
    desk, person = question.server.desk, question.me.person
    facts = {"client": question.client.id, "redirect_uri": question.redirect_uri, "resource": question.resource}
    upsert(desk.session, Consent(person=person.id, scope=question.scope, given_at=desk.now, **facts))
    desk.note("consent.given", person.label, scope=question.scope, **facts)


def is_unsure(client: Client, redirect_uri: str) -> bool:
    """Whether whoever gets the code cannot be known: a program on the person's own machine says it is this client."""
    return client.origin != "registered" and not redirect_uri.startswith("https://")


def leads_to(redirect_uri: str) -> str:
    """Where the answer goes, as a person may judge it."""
    if redirects.is_loopback(redirect_uri):
        return "a program on this computer"
    return redirects.source(redirect_uri).removeprefix("https://")
