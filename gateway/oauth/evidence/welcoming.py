"""People who come for the first time by the word of their company's provider (ID-JAG).

They are let in before the request's transaction, because what is issued in it asks the snapshot who is enabled; and
only for a client that has proved itself, so that nobody writes here with an assertion that they picked up (T-15).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from authz import once
from authz.errors import SignInRefused
from authz.people import external
from gateway.journal import GATEWAY
from gateway.oauth.evidence import JWT_BEARER, words
from gateway.oauth.evidence.vouching import authenticated
from gateway.oauth.problems import InvalidGrant, Refused
from idp_adapters.contract import ExternalIdentity
from registry.database import Concern

if TYPE_CHECKING:
    from authz.tokens.assertions import Assertion
    from gateway.oauth.asking import Ask
    from gateway.oauth.evidence import Granted
    from gateway.oauth.issuing import IssuingServer
    from gateway.world import World


def may_welcome(server: IssuingServer, ask: Ask) -> bool:
    """Whether the client is the one that the assertion was issued to, and may bring it. One that is not is refused
    where the token would be issued, in the words for it.
    """
    granted, said = server.desk.evidence.granted, server.desk.evidence.client
    if granted is None or not granted.newcomer:
        return False
    if said is not None and once.is_spent(server.desk.session, f"client:{said.issuer}", said.jti):
        return False
    try:
        return authenticated(server, ask, JWT_BEARER).id == granted.assertion.claims.get("client_id")
    except Refused:
        return False


def welcome(world: World, granted: Granted) -> None:
    """Lets them in as at a first sign-in; in no group until they sign in themselves."""
    facts = {"provider": granted.provider, "issuer": granted.assertion.issuer}
    try:
        with world.office.change("person.admitted", Concern.PEOPLE, who=GATEWAY, **facts) as (session, noted):
            person = external.admit(session, granted.provider, _identity(granted.assertion), time.time(), 0)
            noted["person"] = person.label
    except SignInRefused as refused:
        raise InvalidGrant("the assertion is not valid here") from refused


def _identity(said: Assertion) -> ExternalIdentity:
    claims = said.claims
    email = words(claims.get("email"))
    return ExternalIdentity(
        issuer=said.issuer,
        subject=said.subject,
        login=words(claims.get("preferred_username")) or email.partition("@")[0] or said.subject,
        name=words(claims.get("name")),
        email=email,
        authenticated_at=time.time(),
    )
