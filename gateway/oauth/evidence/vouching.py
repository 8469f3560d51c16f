"""ID tokens and SAML assertions that a client brings to be exchanged: judged by the provider that they are from.

This happens before the request's transaction begins, because a provider may have to be asked for its keys and a mark
that something was used has to stay whatever follows. So that nobody sets it going who is not our client, the client is
authenticated first, and once more where the token is issued.
"""

from __future__ import annotations

import base64
import binascii
import re
import time
from typing import TYPE_CHECKING, Final

from authz import jose
from authz.clients.known import TOKEN_EXCHANGE, find_client
from authz.errors import SignInRefused
from authz.people import external
from authz.tokens.cutoffs import Cut, is_cut
from gateway.journal import GATEWAY
from gateway.oauth.clients.client import SECRET_METHODS, AskingClient
from gateway.oauth.evidence import Vouched
from gateway.oauth.evidence.token_types import ID_TOKEN, SAML2
from gateway.oauth.problems import InvalidGrant, InvalidRequest, UnauthorizedClient
from idp_adapters.contract import IdentityRefused
from registry.database import Concern

if TYPE_CHECKING:
    from sqlmodel import Session

    from authz.tables import Client, Person
    from gateway.oauth.asking import Ask
    from gateway.oauth.issuing import IssuingServer
    from gateway.world import World
    from idp_adapters.contract import ExternalIdentity

_ISSUER: Final = re.compile(rb"<(?:[A-Za-z0-9_]+:)?Issuer[^<>]{0,200}>\s*([^<>\s]{1,1024})\s*<")
_LOOKED_AT: Final = 4096  # bytes of an assertion in which its issuer stands


def wants_voucher(ask: Ask) -> bool:
    """Whether the request brings something that an identity provider has to judge."""
    parameters = ask.parameters
    foreign = parameters.get("subject_token_type") in {ID_TOKEN, SAML2} and bool(parameters.get("subject_token"))
    return parameters.get("grant_type") == TOKEN_EXCHANGE and foreign


def authenticated(server: IssuingServer, ask: Ask, grant: str) -> Client:
    """The client, if it may use `grant`, without spending its assertion, which is done where the token is issued.
    Raises Refused.
    """
    said, desk = server.desk.evidence.client, server.desk
    if said is None:
        proved: AskingClient = server.authenticate_client(ask, SECRET_METHODS, "token")
        row: Client | None = proved.row
    else:
        row = find_client(desk.session, said.subject, desk.now)
    if row is None or grant not in row.grant_types:
        raise UnauthorizedClient(f"this client may not use the grant {grant}")
    return row


def vouch(world: World, client: Client, ask: Ask) -> Vouched:
    """The person whom the subject token is about, as its provider judges it. Raises Refused."""
    credential, kind = ask.parameters["subject_token"], ask.parameters["subject_token_type"]
    base = world.settings.base_url
    try:
        opened, judge = world.providers.vouching(kind, _issuer(kind, credential))
        identity = judge.vouch(credential, base, f"{base}/oauth/token")
    except IdentityRefused as refused:
        world.telemetry.refused(f"exchange_{refused.reason}")
        raise InvalidRequest("the subject_token is not valid here") from refused
    _check_bound(client, kind, identity)
    _check_alone(kind, credential)
    return Vouched(client.id, opened.slug, *_admitted(world, opened.slug, identity), identity)


def _issuer(kind: str, credential: str) -> str:
    """Who it claims to be from: good for choosing who judges it, and for nothing else."""
    if kind == ID_TOKEN:
        issuer = jose.read_foreign(credential).claims.get("iss")
        return issuer if isinstance(issuer, str) else ""
    try:
        xml = base64.urlsafe_b64decode(credential.rstrip("=") + "=" * (-len(credential.rstrip("=")) % 4))
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest("subject_token: a SAML assertion in base64url (RFC 8693 section 3)") from error
    found = _ISSUER.search(xml[:_LOOKED_AT])
    return found[1].decode("utf-8", "replace") if found is not None else ""


def _check_bound(client: Client, kind: str, identity: ExternalIdentity) -> None:
    """An ID token is for the client that it was given to: one given to any other says nothing to this one. A SAML
    assertion is for us (RFC 7522 section 3), and may name nobody.
    """
    given_to = identity.presented_to
    if (given_to or kind == ID_TOKEN) and given_to not in client.external_client_ids:
        raise InvalidRequest(
            "the subject_token was given to another client; ostiary client exchange says which ones are this client's"
        )


def _check_alone(kind: str, credential: str) -> None:
    """Who acts for somebody at their provider is nobody whom policy here knows: they would act unseen (M-12)."""
    if kind == ID_TOKEN and "act" in jose.read_foreign(credential).claims:
        raise InvalidRequest("the subject_token says that somebody acts for the person (act): bring one of their own")


def _admitted(world: World, provider: str, identity: ExternalIdentity) -> tuple[str, bool]:
    """The person, made if they never came before. What was said of their groups counts from when they signed in there,
    and never takes the place of what a later sign-in said.
    """
    office, now = world.office, time.time()
    said_at = min(identity.authenticated_at, now)
    with office.database.read() as session:
        known = _known(session, identity, said_at)
        if known is not None and known.vouched_at >= said_at:
            return known.id, False
    life = max(0.0, said_at + office.settings.session_life - now)
    facts = {"provider": provider, "method": "exchange"}
    try:
        with office.change("person.vouched", Concern.PEOPLE, who=GATEWAY, **facts) as (session, record):
            person = external.admit(session, provider, identity, now, life)
            record["person"] = person.label
    except SignInRefused as refused:
        raise InvalidGrant(_NOBODY) from refused
    return person.id, True


def _known(session: Session, identity: ExternalIdentity, said_at: float) -> Person | None:
    """Who has come before. An old credential brings nobody back whom their provider, or we, have ended since."""
    person = external.find(session, identity.issuer, identity.subject)
    if person is None:
        return None
    if person.disabled_at is not None or is_cut(session, Cut.PERSON, person.id, said_at):
        raise InvalidGrant(_NOBODY)
    return person


_NOBODY: Final = "whoever this is about is not enabled here, or has been signed out since"
