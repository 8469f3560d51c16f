"""The second step of signing in with a password of ours, and the page on which a person sets it up."""

from __future__ import annotations

import base64
import binascii
import time
from types import MappingProxyType
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import msgspec

from authz.errors import SignInRefused
from authz.people import second_factor, throttle
from authz.people.accounts import LOCAL_ISSUER
from authz.people.sessions import administers
from authz.people.signin import sign_in
from authz.tables import Person
from gateway.pages.forms import FormRefused
from gateway.pages.gate import address_of, for_person
from gateway.pages.render import message, page, see_other
from gateway.pages.session import csrf_token, posted, world_of
from gateway.pages.signing_in.arriving import enter, onward, record_refusal
from gateway.pages.signing_in.qr import svg_path
from gateway.settings import SecondFactor
from registry.errors import SecretRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from authz.people.sessions import SignedIn

PATIENCE: Final = 300.0  # seconds between the password and the code
_EMPTY: Final[Mapping[str, str]] = MappingProxyType({})
PLACE: Final = "/account/second-factor"
_TOO_LATE: Final = "This took too long. Sign in again."
_WRONG: Final = "That is not a code of this moment, or it was used already. Wait for the next one and type that."


def admit(request: Request, person: Person, following: str) -> Response:
    """The password was right: a session, or first what else is wanted."""
    office = world_of(request).office
    with office.database.read() as session:
        if second_factor.is_set(session, person.id):
            return _question(request, _ticket(request, person.id, following))
        admin = administers(session, person, time.time())
    if _required(office.settings.second_factor, admin=admin):
        return _setting_up(request, person, _ticket(request, person.id, following))
    return enter(request, person, onward(request, following), amr="pwd")


def answer(request: Request) -> Response:
    """POST /signin-code: the code after the password."""
    form = posted(request)
    ticket = form.get("ticket", "")
    person, following = _read_ticket(request, ticket)
    if form.get("step") == "confirm":
        return _confirmed(request, person, form, ticket, following)
    try:
        method = _checked(request, person, form.get("code", ""))
    except SignInRefused as refused:
        return _question(request, ticket, str(refused), 429, refused.retry_after)
    if not method:
        return _question(request, ticket, _WRONG, 403)
    amr = second_factor.METHODS if method == "otp" else "pwd mfa"
    return enter(request, person, onward(request, following), amr=amr)


def _confirmed(request: Request, person: Person, form: Mapping[str, str], ticket: str, following: str) -> Response:
    codes = _confirm(request, person, form)
    if not codes:
        return _setting_up(request, person, ticket, _WRONG, 403, form)
    shown = page(request, "recovery_codes.html", codes=codes, next=following)
    return enter(request, person, shown, amr=second_factor.METHODS)


@for_person
def show(request: Request, me: SignedIn) -> Response:
    """GET /account/second-factor"""
    if me.person.issuer != LOCAL_ISSUER:
        return message(
            request, 404, "Not here", "You sign in with an identity provider; second factors are set up there."
        )
    with world_of(request).office.database.read() as session:
        if second_factor.is_set(session, me.person.id):
            left = second_factor.recovery_left(session, me.person.id)
            return page(request, "second_factor.html", left=left, error="")
    return _setting_up(request, me.person, "")


@for_person
def change(request: Request, me: SignedIn) -> Response:
    """POST /account/second-factor: confirm a new one, or take it away with a code of it."""
    form = posted(request)
    if me.person.issuer != LOCAL_ISSUER:
        return see_other("/account")
    if form.get("step") == "confirm":
        return _set_here(request, me, form)
    try:
        right = _checked(request, me.person, form.get("code", ""))
    except SignInRefused as refused:
        return _again(request, me, str(refused), 429)
    if not right:
        return _again(request, me, _WRONG, 403)
    who = me.person.label
    with world_of(request).office.change("second_factor.removed", who=who, person=who, address=address_of(request)) as (
        session,
        _,
    ):
        second_factor.reset(session, me.person.id)
    return see_other(PLACE)


def _set_here(request: Request, me: SignedIn, form: Mapping[str, str]) -> Response:
    """With the password again: whoever finds an open browser must not lock its owner out."""
    office, handle = world_of(request).office, me.person.handle
    try:
        sign_in(office.database, handle, form.get("password", ""), address_of(request), time.time())
    except SignInRefused as refused:
        record_refusal(request, handle, refused)
        text = str(refused) if refused.retry_after else "That is not your password."
        return _setting_up(request, me.person, "", text, 403, form)
    codes = _confirm(request, me.person, form)
    if not codes:
        return _setting_up(request, me.person, "", _WRONG, 403, form)
    return page(request, "recovery_codes.html", codes=codes, next="/account")


def _confirm(request: Request, person: Person, form: Mapping[str, str]) -> list[str]:
    """The first code of a new key gives the recovery codes, once."""
    office, who = world_of(request).office, person.label
    key = _unsealed(request, b"key", form.get("key", ""), person.id)[1]
    with office.database.change() as session:
        codes = second_factor.confirm(session, office.vault, person.id, key, form.get("code", ""), time.time())
        if codes:
            office.journal.note("second_factor.set", who=who, person=who, address=address_of(request))
    return codes


def _checked(request: Request, person: Person, code: str) -> str:
    """How the code was right, if it was; guesses are counted apart from those at the password."""
    office, now, address = world_of(request).office, time.time(), address_of(request)
    key = f"{person.id}\ncode"
    throttle.count_attempt(office.database, key, address, now)
    with office.database.change() as session:
        method = second_factor.matches(session, office.vault, person.id, code, now)
    who = person.label
    if not method:
        office.journal.note("signin.refused", who=who, reason="wrong_code", address=address)
        return ""
    throttle.take_back(office.database, key, address)
    if method == "recovery":
        office.journal.note("second_factor.recovery", who=who, person=who, address=address)
    return method


def _question(request: Request, ticket: str, error: str = "", status: int = 200, retry_after: int = 0) -> Response:
    response = page(request, "signin_code.html", status=status, ticket=ticket, error=error)
    if retry_after:
        response.headers["retry-after"] = str(retry_after)
    return response


def _setting_up(
    request: Request, person: Person, ticket: str, error: str = "", status: int = 200, form: Mapping[str, str] = _EMPTY
) -> Response:
    """A new key each time, or the same again after a code that was wrong; it is kept by the page alone."""
    sealed = form.get("key") or _sealed(request, b"key", person.id, second_factor.new_key())
    key = _unsealed(request, b"key", sealed, person.id)[1]
    host = urlsplit(world_of(request).settings.base_url).hostname or ""
    address = second_factor.address(key, person, host)
    side, modules = svg_path(address)
    return page(
        request, "second_factor_new.html", status=status, ticket=ticket, error=error, sealed=sealed,
        key=second_factor.shown(key), address=address, side=side, modules=modules,
        action="/signin-code" if ticket else PLACE,
    )  # fmt: skip


def _again(request: Request, me: SignedIn, error: str, status: int) -> Response:
    with world_of(request).office.database.read() as session:
        left = second_factor.recovery_left(session, me.person.id)
    return page(request, "second_factor.html", status=status, left=left, error=error)


def _required(setting: SecondFactor, *, admin: bool) -> bool:
    return setting == SecondFactor.EVERYONE or (setting == SecondFactor.ADMINS and admin)


def _ticket(request: Request, person: str, following: str) -> str:
    """Says that the password was right, in this browser, a moment ago."""
    return _sealed(request, b"ticket", person, following.encode())


def _read_ticket(request: Request, ticket: str) -> tuple[Person, str]:
    person_id, following = _unsealed(request, b"ticket", ticket, "")
    with world_of(request).office.database.read() as session:
        person = session.get(Person, person_id)
    if person is None or person.disabled_at is not None:
        raise FormRefused(_TOO_LATE, 403)
    return person, following.decode()


def _sealed(request: Request, what: bytes, person: str, value: bytes) -> str:
    said = msgspec.json.encode((person, time.time(), value))
    return base64.urlsafe_b64encode(world_of(request).office.vault.wrap(_context(request, what), said)).decode()


def _unsealed(request: Request, what: bytes, text: str, person: str) -> tuple[str, bytes]:
    """Whose it is, and what was sealed in this browser in the last minutes."""
    try:
        said = world_of(request).office.vault.unwrap(_context(request, what), base64.urlsafe_b64decode(text.encode()))
        whose, at, value = msgspec.json.decode(said, type=tuple[str, float, bytes])
    except (binascii.Error, SecretRefused, ValueError) as refused:
        raise FormRefused(_TOO_LATE, 403) from refused
    if not 0 <= time.time() - at <= PATIENCE or person not in {"", whose}:
        raise FormRefused(_TOO_LATE, 403)
    return whose, value


def _context(request: Request, what: bytes) -> bytes:
    """The browser's own: `csrf_token` is made of its cookies."""
    return b"second-factor-page:" + what + csrf_token(request).encode()
