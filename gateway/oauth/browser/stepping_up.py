"""Whether somebody has to sign in once more before a client gets what it asks for (RFC 9470 section 4).

A client says so itself (`acr_values`, `max_age`). Most MCP clients only add the scope that a challenge named; so the
rules about every thing that is named are looked at as well.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from authz.assurance import Assurance, Context
from authz.scopes import names_one, parse_scope
from gateway.oauth.offered import Offered
from gateway.oauth.problems import InvalidRequest, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gateway.oauth.browser.question import Question

AGAIN: Final = "ostiary_signed_in_again"  # set on the way back, so that nobody is sent round for ever
JUST_NOW: Final = 60  # seconds for which a sign-in is as fresh as can be: `max_age=0` means a new one


class Unmet(Refused):
    """RFC 9470 section 5: what the client asked for could not be had from this person."""

    error = "unmet_authentication_requirements"
    description = "signing in again did not give what acr_values or max_age ask for"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the client asked for, and what rules ask for about the things that it named."""

    by_client: Assurance
    by_rules: tuple[Assurance, ...] = ()


def read_wanted(parameters: Mapping[str, str]) -> Assurance:
    """OpenID Connect Core section 3.1.2.1: `acr_values` in order of preference, `max_age` in seconds."""
    age = parameters.get("max_age", "")
    if age and not (age.isascii() and age.isdecimal() and len(age) < 10):
        raise InvalidRequest("max_age must be a number of seconds")
    return Assurance(acr=tuple(parameters.get("acr_values", "").split()), max_age=max(JUST_NOW, int(age)) if age else 0)


def wanted(question: Question) -> Wanted:
    return Wanted(read_wanted(question.ask.parameters), tuple(_by_rules(question)))


def has_to_sign_in(question: Question) -> bool:
    """Whether to ask again. Raises Unmet where that was done and did not help; rules then refuse the call itself."""
    want, me = wanted(question), question.me
    context = Context(b"", me.assured, time.time())
    unmet = [one for one in (want.by_client, *want.by_rules) if not one.holds(context)]
    if AGAIN not in question.ask.parameters:
        return bool(unmet)
    if not want.by_client.holds(context):
        raise Unmet
    return False


def _by_rules(question: Question) -> Iterator[Assurance]:
    desk, me = question.server.desk, question.me
    member = desk.snapshot.members.get(me.person.id)
    named = [scope for scope in parse_scope(question.scope) if names_one(scope)]
    if member is None or not named:
        return
    party = me.principal(member, question.resource, desk.now)
    offered = Offered(desk.snapshot, question.resource.removeprefix(desk.base), party)
    for thing in named:
        needs = offered.lacking(thing)
        if needs is not None and not needs.dpop:  # a key is the client's to prove
            yield needs
