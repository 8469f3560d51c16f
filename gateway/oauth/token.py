"""POST /oauth/token (RFC 6749 section 3.2)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.oauth.answering import catch_up, endpoint, new_desk, spread
from gateway.oauth.asking import Ask, check_credentials
from gateway.oauth.evidence import gather
from gateway.oauth.grants.agent import AgentGrant
from gateway.oauth.grants.assertion import AssertionGrant
from gateway.oauth.grants.code import CodeGrant, S256Only
from gateway.oauth.grants.device import DeviceGrantType
from gateway.oauth.grants.exchange import ExchangeGrant
from gateway.oauth.grants.refresh import RefreshGrant
from gateway.oauth.issuing import IssuingServer
from gateway.oauth.replies import as_json
from gateway.oauth.vouching import authenticated, vouch, wants_voucher
from gateway.pages.forms import read_form
from gateway.pages.session import world_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from gateway.oauth.evidence import Evidence
    from gateway.oauth.issuing import Desk
    from gateway.world import World


@endpoint
def give(request: Request) -> Response:
    """One transaction: what is spent, what is issued and what is written down happen together or not at all."""
    parameters, authorization = read_form(request), request.headers.get("authorization", "")
    check_credentials(parameters, authorization)
    world = world_of(request)
    evidence = gather(world, parameters)
    (spread if evidence.granted and evidence.granted.newcomer else catch_up)(world)
    ask = Ask("POST", parameters, authorization)
    if wants_voucher(ask):
        evidence = _vouched(request, world, evidence, ask)
    with world.office.database.change() as session:
        desk = new_desk(request, session, evidence)
        reply = token_server(desk).create_token_response(ask)
        desk.write_down()
    return as_json(reply.status, reply.body, reply.headers)


def _vouched(request: Request, world: World, evidence: Evidence, ask: Ask) -> Evidence:
    """An identity provider is asked before the transaction, and only for a client that has proved itself."""
    with world.office.database.read() as session:
        client = authenticated(IssuingServer(new_desk(request, session, evidence)), ask)
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
