"""POST /oauth/token (RFC 6749 section 3.2)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from authz.clients.known import TOKEN_EXCHANGE
from authz.fingerprints import fingerprint
from authz.tables import Code, RefreshToken
from gateway.oauth.answering import catch_up, endpoint, new_desk, spread
from gateway.oauth.asking import Ask, check_credentials
from gateway.oauth.clients.client import AUTH_METHODS
from gateway.oauth.evidence import JWT_BEARER, gather
from gateway.oauth.evidence.vouching import authenticated, vouch, wants_voucher
from gateway.oauth.evidence.welcoming import may_welcome, welcome
from gateway.oauth.grants.agent import AgentGrant
from gateway.oauth.grants.assertion import AssertionGrant
from gateway.oauth.grants.code import CodeGrant, S256Only
from gateway.oauth.grants.device import DeviceGrantType
from gateway.oauth.grants.exchange import ExchangeGrant
from gateway.oauth.grants.refresh import RefreshGrant
from gateway.oauth.issuing import IssuingServer
from gateway.oauth.problems import Refused, TooMany
from gateway.oauth.replies import as_json
from gateway.pages.forms import FormRefused, read_form
from gateway.pages.gate import address_of
from gateway.pages.session import world_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from gateway.oauth.evidence import Evidence
    from gateway.oauth.issuing import Desk
    from gateway.oauth.patience import Patience
    from gateway.oauth.replies import Reply
    from gateway.world import World

# What a client is told that asks as it should (RFC 8628 section 3.5).
WAITING: Final = frozenset({"authorization_pending", "slow_down"})
_PRESENTED: Final[dict[str, Any]] = {
    "authorization_code": (Code, "code"),
    "refresh_token": (RefreshToken, "refresh_token"),
}


@endpoint
def give(request: Request) -> Response:
    patience: Patience = request.app.state.patience
    source = address_of(request)
    if wait := patience.left(source):
        raise TooMany("refused requests", wait + 1)
    try:
        reply = _reply(request)
    except (Refused, FormRefused):
        patience.refused(source)
        raise
    if reply.status >= 400 and reply.body.get("error") not in WAITING:
        patience.refused(source)
    return as_json(reply.status, reply.body, reply.headers)


def _reply(request: Request) -> Reply:
    """One transaction: what is spent, what is issued and what is written down happen together or not at all."""
    parameters, authorization = read_form(request), request.headers.get("authorization", "")
    check_credentials(parameters, authorization)
    world, ask = world_of(request), Ask("POST", parameters, authorization)
    refused = _hopeless(request, world, ask)
    if refused is not None:
        return refused
    evidence = gather(world, parameters, request.headers.getlist("dpop"))
    (spread if _welcomed(request, world, evidence, ask) else catch_up)(world)
    if wants_voucher(ask):
        evidence = _vouched(request, world, evidence, ask)
    with world.office.database.change() as session:
        desk = new_desk(request, session, evidence)
        desk.spend_proof()
        reply: Reply = token_server(desk).create_token_response(ask)
        desk.write_down()
    return reply


def _hopeless(request: Request, world: World, ask: Ask) -> Reply | None:
    """The refusal of what cannot become a token: whoever makes things up does not hold the database's one writer up."""
    with world.office.database.read() as session:
        desk = new_desk(request, session)
        server = token_server(desk)
        if _has_hope(server, ask):
            return None
        reply: Reply = server.create_token_response(ask)
    desk.record()
    return reply


def _has_hope(server: IssuingServer, ask: Ask) -> bool:
    """Whether the grant is one of ours, its client who it says, and what it presents something that was once given."""
    session, parameters = server.desk.session, ask.parameters
    try:
        server.get_token_grant(ask)
        if "client_assertion" not in parameters and parameters.get("grant_type") != JWT_BEARER:
            server.authenticate_client(ask, AUTH_METHODS, "token")
    except Refused:
        return False
    table, name = _PRESENTED.get(parameters["grant_type"], (None, ""))
    return table is None or session.get(table, fingerprint(parameters.get(name, ""))) is not None


def _welcomed(request: Request, world: World, evidence: Evidence, ask: Ask) -> bool:
    """Whether somebody was let in whom nobody here knew: only for a client that has proved itself."""
    with world.office.database.read() as session:
        welcomed = may_welcome(IssuingServer(new_desk(request, session, evidence)), ask)
    if welcomed and evidence.granted is not None:
        welcome(world, evidence.granted)
    return welcomed


def _vouched(request: Request, world: World, evidence: Evidence, ask: Ask) -> Evidence:
    """An identity provider is asked before the transaction, and only for a client that has proved itself."""
    with world.office.database.read() as session:
        client = authenticated(IssuingServer(new_desk(request, session, evidence)), ask, TOKEN_EXCHANGE)
    found = vouch(world, client, ask)
    if found.newcomer:
        spread(world)
    return replace(evidence, vouched=found)


def token_server(desk: Desk) -> IssuingServer:
    """With the grants that the token endpoint knows; the rest is unsupported_grant_type."""
    server = IssuingServer(desk)
    server.register_grant(CodeGrant, [S256Only(required=True)])
    server.register_grant(RefreshGrant)
    server.register_grant(AgentGrant)
    server.register_grant(AssertionGrant)
    server.register_grant(DeviceGrantType)
    server.register_grant(ExchangeGrant)
    return server
