"""POST /oauth/token (RFC 6749 section 3.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.oauth.answering import catch_up, endpoint, new_desk
from gateway.oauth.asking import Ask, check_credentials
from gateway.oauth.evidence import gather
from gateway.oauth.grants.agent import AgentGrant
from gateway.oauth.grants.assertion import AssertionGrant
from gateway.oauth.grants.code import CodeGrant, S256Only
from gateway.oauth.grants.device import DeviceGrantType
from gateway.oauth.grants.refresh import RefreshGrant
from gateway.oauth.issuing import IssuingServer
from gateway.oauth.replies import as_json
from gateway.pages.forms import read_form
from gateway.pages.session import world_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from gateway.oauth.issuing import Desk


@endpoint
def give(request: Request) -> Response:
    """One transaction: what is spent, what is issued and what is written down happen together or not at all."""
    parameters, authorization = read_form(request), request.headers.get("authorization", "")
    check_credentials(parameters, authorization)
    world = world_of(request)
    catch_up(world)
    evidence = gather(world, parameters)
    with world.office.database.change() as session:
        desk = new_desk(request, session, evidence)
        reply = token_server(desk).create_token_response(Ask("POST", parameters, authorization))
        desk.write_down()
    return as_json(reply.status, reply.body, reply.headers)


def token_server(desk: Desk) -> IssuingServer:
    """With the grants that the token endpoint knows; the rest is unsupported_grant_type."""
    server = IssuingServer(desk)
    server.register_grant(CodeGrant, [S256Only(required=True)])
    server.register_grant(RefreshGrant)
    server.register_grant(AgentGrant)
    server.register_grant(AssertionGrant)
    server.register_grant(DeviceGrantType)
    return server
