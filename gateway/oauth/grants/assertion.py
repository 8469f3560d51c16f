"""An assertion of somebody else for a token of ours (RFC 7523): a person by ID-JAG, or a workload as an agent.

One grant for both, because both present it as `jwt-bearer`; `gateway.oauth.evidence` has told them apart and proved
them. Neither gets a refresh token: whoever signed may change their mind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from authlib.oauth2.rfc6749 import BaseGrant, TokenEndpointMixin

from authz import once
from authz.acting import DEEPEST_CHAIN, read_chain
from authz.clients.agents import find_agent_by_id
from authz.errors import AssertionRefused, ScopeRefused, TokenRefused
from authz.people import external
from authz.scopes import ALL, intersect, parse_scope, write_scope
from authz.tokens.cutoffs import Cut, is_cut
from authz.tokens.families import Allowance
from authz.tokens.issuers import IssuerKind, agent_of, family_of, trusted
from gateway.oauth.clients.client import PROVING_METHODS
from gateway.oauth.evidence import JWT_BEARER, words
from gateway.oauth.problems import InvalidGrant, InvalidScope, UnauthorizedClient

if TYPE_CHECKING:
    from sqlmodel import Session

    from authz.tables import Person
    from gateway.oauth.asking import Ask
    from gateway.oauth.evidence import Granted
    from gateway.oauth.issuing import IssuingServer


_ACTOR: Final = (
    "the assertion names somebody who acts for the person (act) and is no agent here: ask an administrator for a rule "
    "(ostiary issuer allow)"
)


class UnknownActor(AssertionRefused):
    """An `act` claim that cannot become part of our chain."""


class AssertionGrant(BaseGrant, TokenEndpointMixin):
    """RFC 7523 section 2.1."""

    GRANT_TYPE = JWT_BEARER
    TOKEN_ENDPOINT_AUTH_METHODS = PROVING_METHODS
    server: IssuingServer
    request: Ask
    actors: tuple[str, ...]

    def validate_token_request(self) -> None:
        granted = self.server.desk.evidence.granted
        assert granted is not None
        self.family = family_of(granted.assertion.issuer) if granted.kind is IssuerKind.IDENTITY else ""
        try:
            self.allowed = self._person(granted) if granted.kind is IssuerKind.IDENTITY else self._agent(granted)
            self.actors = self._acting(granted)
        except UnknownActor as refused:
            self.server.desk.refusals.append({"reason": f"assertion.act_{refused.reason}"})
            raise InvalidGrant(_ACTOR) from refused
        except AssertionRefused as refused:
            self.server.desk.refusals.append({"reason": f"assertion.{refused.reason}"})
            raise InvalidGrant("the assertion is not valid here") from refused

    def create_token_response(self) -> tuple[int, dict[str, Any], list[tuple[str, str]]]:
        token = self.server.issue(self.GRANT_TYPE, self.allowed, self.allowed.scope, self.family, self.actors)
        return 200, token, self.TOKEN_RESPONSE_HEADER

    def _acting(self, granted: Granted) -> tuple[str, ...]:
        """The chain of the result, nearest first: an agent that brings a person's identity never passes for them."""
        session, named = self.server.desk.session, acting_for(self.server.desk.session, granted)
        bringing = find_agent_by_id(session, self.allowed.client) if granted.kind is IssuerKind.IDENTITY else None
        actors = named if bringing is None or named[:1] == (bringing.id,) else (bringing.id, *named)
        if len(actors) > DEEPEST_CHAIN:
            raise UnknownActor("too_many")
        return actors

    def _person(self, granted: Granted) -> Allowance:
        """Identity assertion authorization grant, section 4.4: the client it was issued to, one resource, one use."""
        claims, desk = granted.assertion.claims, self.server.desk
        client = self.authenticate_token_endpoint_client()
        if not client.check_grant_type(JWT_BEARER):
            raise UnauthorizedClient("this client has not registered the jwt-bearer grant")
        if claims.get("client_id") != client.row.id:
            raise AssertionRefused("client")
        if not once.spend(desk.session, "id-jag", _name(granted), granted.assertion.expires_at + 60):
            raise AssertionRefused("replayed")
        return Allowance(
            client=client.row.id,
            person=self._subject(granted).id,
            resource=self._target(claims.get("resource")),
            scope=_scope(claims.get("scope"), self.request.payload.scope),
            auth_time=_seconds(claims.get("auth_time")),
            acr=words(claims.get("acr")),
            amr=words(claims.get("amr")),
        )

    def _subject(self, granted: Granted) -> Person:
        """Whom the provider means: one of its own. What was said before somebody was ended says nothing any more."""
        session, said = self.server.desk.session, granted.assertion
        known = external.find(session, said.issuer, said.subject)
        if known is None or known.disabled_at is not None:
            raise AssertionRefused("disabled" if known else "nobody")
        if known.provider != granted.provider:
            raise AssertionRefused("other_provider")
        if is_cut(session, Cut.PERSON, known.id, said.issued_at):
            raise AssertionRefused("ended_since")
        return known

    def _agent(self, granted: Granted) -> Allowance:
        """A workload is the agent that a rule says; where a client authenticates too, it is that agent's."""
        desk = self.server.desk
        said = granted.assertion
        agent = find_agent_by_id(desk.session, agent_of(desk.session, said.issuer, said.claims))
        if agent is None or self.request.claimed_client not in {"", agent.id}:
            raise AssertionRefused("client")
        agent.last_used_at = desk.now
        return Allowance(
            client=agent.id,
            person=agent.id,
            resource=self._target(None),
            scope=_scope(None, self.request.payload.scope),
            auth_time=0,
        )

    def _target(self, claimed: Any) -> str:
        """The resource that the assertion names; a request may repeat it, and names it where the assertion does not."""
        asked = self.request.parameters.get("resource")
        if claimed is None:
            return self.server.check_target(asked, None)
        single = claimed[0] if isinstance(claimed, list) and len(claimed) == 1 else claimed
        if not isinstance(single, str):
            raise AssertionRefused("claim_resource")
        return self.server.check_target(asked, self.server.check_target(single, None))


def acting_for(session: Session, granted: Granted) -> tuple[str, ...]:
    """Who acts for the person, nearest first, as agents of ours (RFC 8693 section 4.1): those that a rule about the
    issuer's workloads knows. Whoever acts and is nobody here would act unseen, so that is refused (M-12).
    """
    said = granted.assertion
    if "act" not in said.claims:
        return ()
    if granted.kind is IssuerKind.WORKLOAD:
        raise UnknownActor("of_a_workload")
    try:
        named = read_chain(said.claims)
        trusted(session, said.issuer, IssuerKind.WORKLOAD)
        return tuple(agent_of(session, said.issuer, {"sub": actor}) for actor in named)
    except (AssertionRefused, TokenRefused) as refused:
        raise UnknownActor(refused.reason) from refused


def _name(granted: Granted) -> str:
    return f"{granted.assertion.issuer}\n{granted.assertion.jti}"


def _scope(claimed: Any, asked: str | None) -> str:
    """What is asked for, as far as the assertion goes."""
    try:
        limit = parse_scope(words(claimed) or ALL)
        wanted = parse_scope(asked) if asked else limit
    except ScopeRefused as refused:
        raise InvalidScope("scope cannot be read") from refused
    scope = intersect(limit, wanted)
    if not scope:
        raise InvalidScope("nothing of this scope is in the assertion")
    return write_scope(scope)


def _seconds(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0
