"""Signing in with a name and a password of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlmodel import select

from authz.errors import SignInBusy, SignInRefused
from authz.people import passwords, throttle
from authz.people.accounts import LOCAL_ISSUER
from authz.tables import Person

if TYPE_CHECKING:
    from registry.database import Database


def sign_in(database: Database, handle: str, password: str, address: str, now: float) -> Person:
    """Who this is, or SignInRefused; a name that nobody has costs and answers the same as a wrong password."""
    throttle.count_attempt(database, handle, address, now)
    person = _local(database, handle)
    try:
        right = passwords.matches(person.password_hash if person else "", password)
    except SignInBusy:
        throttle.take_back(database, handle, address)
        raise
    if person is None or not right:
        raise SignInRefused("wrong_password" if person else "unknown_person")
    if person.disabled_at is not None:
        raise SignInRefused("disabled")
    throttle.take_back(database, handle, address)
    return person


def _local(database: Database, handle: str) -> Person | None:
    with database.read() as session:
        return session.exec(select(Person).where(Person.handle == handle, Person.issuer == LOCAL_ISSUER)).one_or_none()
