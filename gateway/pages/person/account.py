"""A person's own account: the password, and the link by which the first administrator gets one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from authz.errors import AccountRefused, LinkSpent, SignInRefused
from authz.people import second_factor
from authz.people.accounts import LOCAL_ISSUER, add_person, new_hash
from authz.people.sessions import ADMIN_LINK, end_sessions, look_at_link, use_link
from authz.people.signin import sign_in
from authz.tables import OneTimeLink, Person
from gateway.identity.providers import title_of
from gateway.pages.gate import address_of, for_person
from gateway.pages.render import message, page, see_other
from gateway.pages.session import posted, world_of
from gateway.pages.signing_in.arriving import record_refusal
from gateway.pages.signing_in.second_factor import admit
from gateway.problems import sentence
from registry.database import Concern

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from authz.people.sessions import SignedIn


@for_person
def show(request: Request, me: SignedIn) -> Response:
    """GET /account: how this person signed in, where they belong, and what is theirs to change."""
    world, local = world_of(request), me.person.issuer == LOCAL_ISSUER
    member = world.snapshots.current.members.get(me.person.id)
    subjects = member.subjects(time.time()) if member else ()
    row = None if local else world.providers.find(me.person.provider)
    with world.office.database.read() as session:
        second = local and second_factor.is_set(session, me.person.id)
    return page(
        request, "account.html", local=local, second=second, by=title_of(row) if row else me.person.provider,
        at=me.auth_time, until=me.expires_at, methods=me.amr.split(), acr="" if local else me.acr,
        groups=sorted(subject for subject in subjects if subject.startswith("group:")),
    )  # fmt: skip


@for_person
def show_password(request: Request, me: SignedIn) -> Response:
    """GET /account/password"""
    if me.person.issuer != LOCAL_ISSUER:
        return see_other("/account")
    return page(request, "password.html", done=False, error="")


@for_person
def change_password(request: Request, me: SignedIn) -> Response:
    """POST /account/password"""
    form = posted(request)
    try:
        _change(request, me, form)
    except SignInRefused as refused:
        record_refusal(request, me.person.handle, refused)
        text = str(refused) if refused.retry_after else "That is not your present password."
        return page(request, "password.html", status=403, done=False, error=text)
    except AccountRefused as refused:
        return page(request, "password.html", status=400, done=False, error=sentence(str(refused)))
    return page(request, "password.html", done=True, error="")


def _change(request: Request, me: SignedIn, form: Mapping[str, str]) -> None:
    office, handle = world_of(request).office, me.person.handle
    sign_in(office.database, handle, form.get("current", ""), address_of(request), time.time())
    made = new_hash(handle, _twice(form))
    with office.change("password.changed", who=f"user:{handle}", address=address_of(request)) as (session, _):
        session.get_one(Person, me.person.id).password_hash = made
        end_sessions(session, me.person.id, but=me.session)


def show_setup(request: Request) -> Response:
    """GET /setup/{token}"""
    link, person = _link(request)
    return _spent(request) if link is None else _setup(request, person)


def submit_setup(request: Request) -> Response:
    """POST /setup/{token}"""
    form = posted(request)
    link, person = _link(request)
    if link is None:
        return _spent(request)
    handle = person.handle if person else form.get("handle", "").strip().lower()
    try:
        settled = _settle(request, person, handle, new_hash(handle, _twice(form)))
    except LinkSpent:
        return _spent(request)
    except AccountRefused as refused:
        return _setup(request, person, handle, sentence(str(refused)), status=400)
    return admit(request, settled, _first_page(request, settled))


def _settle(request: Request, person: Person | None, handle: str, password_hash: str) -> Person:
    """Uses the link and sets the password in one transaction."""
    office, token = world_of(request).office, request.path_params["token"]
    facts = {"person": f"user:{handle}", "address": address_of(request)}
    event = "person.password_set" if person else "person.added"
    with office.change(event, Concern.PEOPLE, who="link:admin", **facts) as (session, _):
        use_link(session, token, ADMIN_LINK, time.time())
        if person is None:
            return add_person(session, handle, password_hash=password_hash, is_admin=True)
        end_sessions(session, person.id)
        return _reset(session.get_one(Person, person.id), password_hash)


def _first_page(request: Request, person: Person) -> str:
    """The review, unless it has a listener of its own, which a form may not lead to."""
    return "/admin/servers" if person.is_admin and world_of(request).settings.admin_listen is None else "/"


def _reset(person: Person, password_hash: str) -> Person:
    person.password_hash = password_hash
    return person


def _link(request: Request) -> tuple[OneTimeLink | None, Person | None]:
    with world_of(request).office.database.read() as session:
        link = look_at_link(session, request.path_params["token"], ADMIN_LINK, time.time())
        person = session.get(Person, link.person) if link and link.person else None
        return link, person


def _setup(request: Request, person: Person | None, handle: str = "", error: str = "", status: int = 200) -> Response:
    return page(
        request,
        "setup.html",
        status=status,
        fixed=person is not None,
        handle=person.handle if person else handle,
        error=error,
    )


def _spent(request: Request) -> Response:
    return message(
        request,
        410,
        "This link is used up",
        "It worked once or is older than 15 minutes. On the gateway's machine, `ostiary admin link` prints a new one.",
    )


def _twice(form: Mapping[str, str]) -> str:
    password = form.get("password", "")
    if password != form.get("again", ""):
        raise AccountRefused("the two passwords differ; type them again")
    return password
