"""Somebody has proved who they are: the browser gets a session, and goes on to where it wanted to be."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

from anyio import from_thread
from sqlalchemy.exc import IntegrityError

from authz.errors import SignInRefused
from authz.people import external
from authz.people.sessions import begin_session, end_session
from gateway import clock
from gateway.identity.keeping import keep_session
from gateway.pages.gate import address_of
from gateway.pages.render import message, page, see_other
from gateway.pages.session import give_session, signed_in, take_departure, world_of
from gateway.problems import sentence
from idp_adapters.contract import IdentityRefused, ProviderDown
from registry.database import Concern

if TYPE_CHECKING:
    from sqlmodel import Session
    from starlette.requests import Request
    from starlette.responses import Response

    from authz.tables import Person
    from gateway.identity.providers import Opened
    from idp_adapters.contract import ExternalIdentity, IdentityProblem


def enter(request: Request, person: Person, response: Response, *, amr: str) -> Response:
    """A new session for this browser, with this response; nobody's session can be planted here."""
    if clock.moved():
        return _clock_moved(request)
    office, address = world_of(request).office, address_of(request)
    with office.change("signin", who=person.label, address=address, method=amr) as (session, _):
        token = _begin(request, session, person, amr=amr)
    give_session(response, office.settings, token)
    return response


def admit_external(request: Request, opened: Opened, identity: ExternalIdentity, following: str) -> Response:
    """The same for somebody whom a provider vouches for, and who becomes a person of ours at the first time."""
    if clock.moved():
        return _clock_moved(request)
    try:
        token = _admitted(request, opened, identity)
    except IntegrityError:  # their very first sign-in, in two browsers at once: by now the other one made them
        token = _admitted(request, opened, identity)
    except SignInRefused as refused:
        return refusal(request, opened.slug, IdentityRefused(refused.reason, _WORDS[refused.reason]))
    # what they read or ask next is judged with the groups that they have come with, and not as if they had none yet
    from_thread.run(world_of(request).snapshots.refresh)
    response, settings = onward(request, following), world_of(request).settings
    give_session(response, settings, token)
    take_departure(response, settings)
    return response


def _admitted(request: Request, opened: Opened, identity: ExternalIdentity) -> str:
    office, now, address = world_of(request).office, time.time(), address_of(request)
    amr = " ".join(method for method in identity.amr if _METHOD.fullmatch(method))
    acr = identity.acr if _METHOD.fullmatch(identity.acr) else ""
    with office.database.change(Concern.PEOPLE) as session:
        known = external.find(session, identity.issuer, identity.subject) is not None
        person = external.admit(session, opened.slug, identity, now, office.settings.session_life)
        token = _begin(request, session, person, amr=amr, acr=acr, auth_time=identity.authenticated_at)
        keep_session(session, office, token, opened, person, identity, now)
        session.flush()
        who, facts = person.label, {"provider": opened.slug, "address": address}
        if not known:
            office.journal.note("person.added", who=who, person=who, **facts)
        groups = sorted(external.mapped(session, person.id))
        said = sorted(identity.groups)[:_GROUPS_ON_RECORD]
        office.journal.note("signin", who=who, method=amr, groups=groups, said=said, **facts)
    return token


def record_refusal(request: Request, handle: str, refused: SignInRefused) -> None:
    """A name that nobody has is not written down: people type passwords into the wrong field."""
    journal, address = world_of(request).journal, address_of(request)
    if refused.reason == "throttled":  # as often as somebody likes to come: counted, not written one by one
        journal.refused_unauthenticated(address, reason="signin_throttled")
        return
    known = refused.reason in {"wrong_password", "disabled"}
    who = f"user:{handle}" if known else "nobody"
    journal.note("signin.refused", who=who, reason=refused.reason, address=address)


def refusal(request: Request, provider: str, problem: IdentityProblem) -> Response:
    """What a person reads when a provider's answer was no, or none. Nothing in it is the provider's own text."""
    record_problem(request, provider, problem)
    down = isinstance(problem, ProviderDown) or not isinstance(problem, IdentityRefused)
    if down:
        title, text = "Nobody can sign in there just now", f"{provider} cannot be asked. Try again in a moment."
    else:
        title, text = "You are not signed in", sentence(str(problem))
    response = message(request, 503 if down else 403, title, text)
    if down:
        response.headers["retry-after"] = "10"
    take_departure(response, world_of(request).settings)
    return response


def record_problem(request: Request, provider: str, problem: IdentityProblem) -> None:
    """Anybody can come with a forged answer, as often as they like: counted where it is too much to write down."""
    detail = str(problem) if isinstance(problem, ProviderDown) else ""
    world_of(request).journal.refused_unauthenticated(
        address_of(request), reason=f"signin.{problem.reason}", provider=provider, detail=detail
    )


def _begin(request: Request, session: Session, person: Person, **proof: Any) -> str:
    before, office = signed_in(request), world_of(request).office
    if before is not None:
        external.forget_session(session, before.session)
        end_session(session, before.session)
    return begin_session(
        session, person, now=time.time(), life=office.settings.session_life, address=address_of(request), **proof
    )


def onward(request: Request, following: str) -> Response:
    """To an OAuth client by way of a page: `form-action` would stop a form that ends at a foreign address."""
    if following.startswith("/oauth/"):
        title, text = "You are signed in", "One moment: back to where you came from."
        return page(request, "continue.html", next=following, title=title, text=text)
    return see_other(following)


def _clock_moved(request: Request) -> Response:
    return message(request, 503, "Nobody can sign in just now", clock.MOVED)


_GROUPS_ON_RECORD = 20  # of those that a provider names: enough to see how it spells them
_METHOD = re.compile(r"[\x21-\x7e]{1,128}")  # one word, as claims of ours hold it
_WORDS = {
    "nameless": "The provider did not say who you are in a way that could be kept.",
    "disabled": "Your account here is switched off. An administrator can switch it on again.",
    "other_provider": "You are known here through another identity provider. Sign in with that one.",
}
