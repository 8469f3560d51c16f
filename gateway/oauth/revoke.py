"""POST /oauth/revoke (RFC 7009): always 200 for whoever is a client; it acts on the client's own tokens only.

There is no introspection: nobody learns anything about a token here (T-21).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from authz import jose
from authz.fingerprints import fingerprint
from authz.tables import RefreshToken
from authz.tokens.claims import LEEWAY, LONGEST_LIFE
from authz.tokens.cutoffs import Cut, cut_off
from authz.tokens.families import end_family, lock_person
from authz.tokens.minting import TYP
from gateway.oauth.answering import endpoint, new_desk
from gateway.oauth.asking import Ask, check_credentials
from gateway.oauth.evidence import gather
from gateway.oauth.issuing import IssuingServer
from gateway.oauth.problems import InvalidRequest
from gateway.oauth.replies import as_json
from gateway.pages.forms import read_form
from gateway.pages.session import world_of
from registry.database import Concern

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from gateway.oauth.evidence import Evidence
    from gateway.oauth.issuing import Desk


@endpoint
def revoke(request: Request) -> Response:
    parameters, authorization = read_form(request), request.headers.get("authorization", "")
    check_credentials(parameters, authorization)
    world = world_of(request)
    evidence = gather(world, parameters)
    if not _is_there(request, parameters, authorization, evidence):
        return as_json(200, {})
    with world.office.database.change() as session:
        desk = new_desk(request, session, evidence)
        client = _authenticate(desk, Ask("POST", parameters, authorization))
        if not parameters.get("token"):
            raise InvalidRequest("token is required")
        _end(desk, parameters["token"], client)
        desk.write_down()
    return as_json(200, {})


def _is_there(request: Request, parameters: dict[str, str], authorization: str, evidence: Evidence) -> bool:
    """Whether there is something to end, found out without holding the database's one writer up."""
    with world_of(request).office.database.read() as session:
        desk = new_desk(request, session)
        if evidence.client is None:
            _authenticate(desk, Ask("POST", parameters, authorization))
        token = parameters.get("token", "")
        known = session.get(RefreshToken, fingerprint(token)) is not None
        return not token or known or _own_claims(desk, token.encode("utf-8", "surrogatepass")) is not None


def _authenticate(desk: Desk, ask: Ask) -> str:
    return IssuingServer(desk).authenticated(ask, "revocation").row.id


def _end(desk: Desk, token: str, client: str) -> None:
    """By what the token is; the hint is only a hint (RFC 7009 section 2.1)."""
    row = desk.session.get(RefreshToken, fingerprint(token))
    if row is not None and row.client == client:
        lock_person(desk.session, row.person)
        end_family(desk.session, row.family, desk.now)
        desk.moved.add(Concern.CUTOFFS)
        desk.note("token.revoked", f"client:{client}", family=row.family, kind="refresh_token")
    elif row is None:
        _end_access_token(desk, token, client)


def _end_access_token(desk: Desk, token: str, client: str) -> None:
    claims = _own_claims(desk, token.encode("utf-8", "surrogatepass"))
    if claims is None or claims.get("client_id") != client:
        return
    cut_off(desk.session, Cut.TOKEN, str(claims["jti"]), now=desk.now, life=LONGEST_LIFE + 2 * LEEWAY)
    desk.moved.add(Concern.CUTOFFS)
    desk.note("token.revoked", f"client:{client}", jti=claims["jti"], kind="access_token")


def _own_claims(desk: Desk, token: bytes) -> dict[str, object] | None:
    """The claims of an access token that we signed; whether it is still good does not matter to its end."""
    try:
        header = jose.read_header(token)
        key = desk.snapshot.keys.verifying(str(header.get("kid")), desk.now)
        return jose.verify(token, key.public) if key is not None and header.get("typ") == TYP else None
    except jose.BadSignature:
        return None
