"""Whom a token to be exchanged speaks of, by its type (RFC 8693 section 3), and who acts with it.

Whatever is wrong with one is `invalid_request` (RFC 8693 section 2.2.2); what was right and has been ended since is
`invalid_grant`, so that an agent can tell its own mistake from somebody's decision.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from authz.acting import read_chain
from authz.clients.known import Origin
from authz.errors import DelegationOver, TokenRefused
from authz.scopes import ALL, parse_scope
from authz.tokens import delegations
from authz.tokens.access import TokenVerifier
from gateway.oauth.evidence.token_types import ACCESS_TOKEN, DELEGATION, ID_TOKEN, JWT, SAML2
from gateway.oauth.problems import InvalidGrant, InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from authz.principals import Principal
    from authz.tables import Delegation
    from gateway.oauth.asking import Ask
    from gateway.oauth.issuing import IssuingServer

# Reasons of the verifier that are somebody's decision and not a bad token.
_ENDED: Final = frozenset({"cut_off", "nobody", "client", "operator_tokens_off"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Whose token is asked for, and how far what was presented reaches. `client` is whom it was given to; empty
    `resource`: wherever it is asked for. `source` is its `jti`, `kind` its token type.
    """

    kind: str
    person: str
    scopes: frozenset[str]
    client: str = ""
    actors: tuple[str, ...] = ()
    resource: str = ""
    family: str = ""
    source: str = ""
    provider: str = ""
    auth_time: float = 0
    acr: str = ""
    amr: str = ""
    ends_at: float | None = None
    delegation: Delegation | None = None


def proved_subject(server: IssuingServer, ask: Ask) -> Subject:
    """The subject of a request whose client is authenticated. There is none without a good `subject_token` (T-17)."""
    read = _TYPES.get(ask.parameters["subject_token_type"])
    if read is None:
        raise InvalidRequest(f"subject_token_type must be one of {' '.join(sorted(_TYPES))}")
    return read(server, ask)


def proved_actor(server: IssuingServer, ask: Ask) -> tuple[str, ...]:
    """Who acts, with those acting for them; nobody where no `actor_token` is given. It is the client's own token, so
    that a client acts as nobody whom it is not trusted with.
    """
    if "actor_token" not in ask.parameters:
        return ()
    if ask.parameters["actor_token_type"] not in {ACCESS_TOKEN, JWT}:
        raise InvalidRequest(f"actor_token_type must be {ACCESS_TOKEN}")
    actor, client = _verified(server, ask.parameters["actor_token"], "actor_token"), ask.client.row
    if actor.client != client.id or (client.origin == Origin.AGENT and actor.subject != client.id):
        raise InvalidRequest("the actor_token was not given to this client")
    return (actor.subject, *read_chain(actor.claims))


def _of_access_token(server: IssuingServer, ask: Ask) -> Subject:
    principal = _verified(server, ask.parameters["subject_token"], "subject_token")
    claims = principal.claims
    return Subject(
        kind=ACCESS_TOKEN,
        person=principal.subject,
        scopes=principal.scopes,
        client=principal.client,
        actors=read_chain(claims),
        resource=principal.resource,
        family=claims.get("family", ""),
        source=claims["jti"],
        auth_time=claims.get("auth_time", 0),
        acr=claims.get("acr", ""),
        amr=" ".join(claims.get("amr", ())),
        ends_at=principal.expires_at,
    )


def _of_delegation(server: IssuingServer, ask: Ask) -> Subject:
    desk = server.desk
    try:
        row = delegations.usable(desk.session, ask.parameters["subject_token"], ask.client.row.id, desk.now)
    except DelegationOver as over:
        raise InvalidGrant(str(over)) from over
    return Subject(
        kind=DELEGATION,
        person=row.person,
        scopes=parse_scope(row.scope),
        client=row.agent,
        ends_at=row.expires_at,
        delegation=row,
    )


def _of_vouched(server: IssuingServer, ask: Ask) -> Subject:
    """An ID token or a SAML assertion: judged by its provider before this transaction (`evidence.vouching`)."""
    vouched = server.desk.evidence.vouched
    if vouched is None or vouched.client != ask.client.row.id:
        raise InvalidRequest("the subject_token was not brought by this client")
    return Subject(
        kind=ask.parameters["subject_token_type"],
        person=vouched.person,
        scopes=frozenset({ALL}),
        client=vouched.client,
        provider=vouched.provider,
        auth_time=vouched.identity.authenticated_at,
        acr=vouched.identity.acr,
        amr=" ".join(vouched.identity.amr),
    )


def _verified(server: IssuingServer, token: str, name: str) -> Principal:
    desk = server.desk
    verifier = TokenVerifier(desk.base, operator_tokens=desk.office.settings.operator_tokens)
    try:
        principal = verifier.verify_subject(token.encode("utf-8", "surrogatepass"), desk.snapshot, desk.now)
    except TokenRefused as refused:
        desk.refusals.append({"reason": f"exchange.{refused.reason}", "detail": name})
        if refused.reason in _ENDED:
            raise InvalidGrant(f"whoever the {name} was given to, or for, is not enabled here any more") from refused
        raise InvalidRequest(f"the {name} is not an access token of ours that can be exchanged now") from refused
    if principal.jkt and principal.jkt != desk.jkt:
        raise InvalidRequest(f"the {name} is bound to a key: send a DPoP proof of it")
    return principal


_TYPES: Final[dict[str, Callable[[IssuingServer, Ask], Subject]]] = {
    ACCESS_TOKEN: _of_access_token,
    DELEGATION: _of_delegation,
    ID_TOKEN: _of_vouched,
    SAML2: _of_vouched,
}
SUBJECT_TOKEN_TYPES: Final = tuple(_TYPES)
