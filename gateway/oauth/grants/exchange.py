"""Token exchange (RFC 8693): what somebody holds, for a token for a few tools and a few minutes.

The result is never wider than what it is made of, in scope, audience or time, and is the end of its line: a tool token
is exchanged for nothing. Whoever acts is written into it and asked about on every call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from authlib.oauth2.rfc6749 import BaseGrant, TokenEndpointMixin

from authz.acting import DEEPEST_CHAIN, parties
from authz.assurance import Assured
from authz.clients.known import TOKEN_EXCHANGE, Origin
from authz.errors import DelegationOver, ScopeRefused
from authz.scopes import ALL, parse_scope, write_scope
from authz.tokens import delegations
from authz.tokens.claims import TOOL
from authz.tokens.minting import Minting
from authz.tokens.narrowing import narrow
from gateway.oauth.clients.client import PROVING_METHODS
from gateway.oauth.evidence.token_types import ACCESS_TOKEN, JWT
from gateway.oauth.grants.subjects import proved_actor, proved_subject
from gateway.oauth.offered import Offered, supposed
from gateway.oauth.problems import InvalidGrant, InvalidRequest, InvalidScope, InvalidTarget, UnauthorizedClient

if TYPE_CHECKING:
    from collections.abc import Mapping

    from authz.tables import Client
    from gateway.oauth.asking import Ask
    from gateway.oauth.grants.subjects import Subject
    from gateway.oauth.issuing import IssuingServer


class ExchangeGrant(BaseGrant, TokenEndpointMixin):
    """RFC 8693 section 2. `subject` and `actors` are proved, `resource` and `scope` are what the token will be for."""

    GRANT_TYPE = TOKEN_EXCHANGE
    TOKEN_ENDPOINT_AUTH_METHODS = PROVING_METHODS
    server: IssuingServer
    request: Ask
    subject: Subject
    actors: tuple[str, ...]
    resource: str
    scope: frozenset[str]

    def validate_token_request(self) -> None:
        parameters = self.request.parameters
        self.request.client = self.authenticate_token_endpoint_client()
        if not self.request.client.check_grant_type(TOKEN_EXCHANGE):
            raise UnauthorizedClient("this client may not exchange tokens")
        _check_parameters(parameters)
        self.subject = proved_subject(self.server, self.request)
        self.actors = self._acting()
        self.resource = self._target(parameters)
        self.scope = self._narrowed(parameters.get("scope"))

    def create_token_response(self) -> tuple[int, dict[str, Any], list[tuple[str, str]]]:
        self._take_delegation()
        token = self.server.hand_out(
            "token.exchanged",
            self._minting(),
            subject_token=self.subject.kind,
            provider=self.subject.provider,
            delegation=self.subject.delegation.id if self.subject.delegation is not None else "",
            source=self.subject.source,
        )
        return 200, token | {"issued_token_type": ACCESS_TOKEN}, self.TOKEN_RESPONSE_HEADER

    @property
    def _client(self) -> Client:
        row: Client = self.request.client.row
        return row

    def _acting(self) -> tuple[str, ...]:
        """The chain of the result, nearest first: an agent never passes for the person it acts for (M-12)."""
        actors, agent = proved_actor(self.server, self.request), self._client.origin == Origin.AGENT
        if not actors and agent:
            actors = (self._client.id,)
        if actors[:1] == (self.subject.person,):  # for itself
            actors = actors[1:]
        if not actors and not agent and self.subject.client not in {"", self._client.id}:
            raise InvalidRequest("the subject_token was given to another client; only an agent may act with it")
        actors += self.subject.actors
        if len(actors) > DEEPEST_CHAIN:
            raise InvalidRequest(f"more than {DEEPEST_CHAIN} would be acting for each other")
        return actors

    def _target(self, parameters: Mapping[str, str]) -> str:
        """RFC 8693 section 2.1: `resource` or `audience`, which here are one name; never another than the subject's."""
        resource, audience = parameters.get("resource"), parameters.get("audience")
        found = self.server.check_target(resource or audience, self.subject.resource or None)
        if audience is not None and self.server.check_target(audience, None) != found:
            raise InvalidTarget("resource and audience name two resources; a token is for one")
        return found

    def _narrowed(self, asked: str | None) -> frozenset[str]:
        """What is within the subject, the client, the request and, at this moment, policy."""
        desk, subject = self.server.desk, self.subject
        try:
            wanted = parse_scope(asked if asked is not None else ALL)
            limits = (wanted, subject.scopes, parse_scope(self._client.scope or ALL))
            chain = (subject.person, *parties(self.actors))
            assured = Assured(subject.acr, frozenset(subject.amr.split()), subject.auth_time, bool(desk.jkt))
            party = supposed(desk.snapshot, chain, self._client.id, assured, desk.now)
            offered = Offered(desk.snapshot, self.resource.removeprefix(desk.base), party)
            return narrow(offered.things, limits, offered.may_use)
        except ScopeRefused as refused:
            raise InvalidScope(str(refused).replace("`", "")) from refused

    def _take_delegation(self) -> None:
        """Last, so that a request that fails uses nothing up."""
        if self.subject.delegation is None:
            return
        try:
            delegations.take(self.server.desk.session, self.subject.delegation, self.server.desk.now)
        except DelegationOver as over:
            raise InvalidGrant(str(over)) from over

    def _minting(self) -> Minting:
        subject, desk = self.subject, self.server.desk
        return Minting(
            issuer=desk.base,
            subject=subject.person,
            client=self._client.id,
            resource=self.resource,
            scope=write_scope(self.scope),
            life=desk.office.settings.tool_token_life,
            family=subject.family,
            auth_time=subject.auth_time,
            acr=subject.acr,
            amr=subject.amr,
            act=self.actors,
            token_use=TOOL,
            delegation=subject.delegation.id if subject.delegation is not None else "",
            source=subject.source,
            via=subject.client if subject.client != self._client.id else "",
            ends_at=subject.ends_at,
        )


def _check_parameters(parameters: Mapping[str, str]) -> None:
    """RFC 8693 section 2.1: what is there must be right, and what belongs together must be there together (M-13)."""
    for name in ("subject_token", "subject_token_type"):
        if not parameters.get(name):
            raise InvalidRequest(f"{name} is required")
    if ("actor_token" in parameters) != ("actor_token_type" in parameters):
        raise InvalidRequest("actor_token and actor_token_type go together")
    if parameters.get("requested_token_type", ACCESS_TOKEN) not in {ACCESS_TOKEN, JWT}:
        raise InvalidRequest(f"requested_token_type must be {ACCESS_TOKEN}")
