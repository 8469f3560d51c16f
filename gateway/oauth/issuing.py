"""The one place that issues tokens: Authlib's core for the grammar, and what has to be asked again at each mint.

An `IssuingServer` lives for one request and one transaction. What it did and refused it keeps, and writes to the
journal before the transaction counts.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from authlib.oauth2.rfc6749 import AuthorizationServer
from authlib.oauth2.rfc9207.parameter import IssuerParameter

from authz import once
from authz.acting import parties
from authz.clients.known import find_client
from authz.errors import ScopeRefused
from authz.scopes import parse_scope
from authz.tokens import dpop
from authz.tokens.assertions import LEEWAY
from authz.tokens.minting import Minting, mint
from gateway import clock
from gateway.oauth.clients.client import AUTH_METHODS, AskingClient
from gateway.oauth.evidence import Evidence
from gateway.oauth.problems import InvalidClient, InvalidGrant, InvalidProof, InvalidScope, InvalidTarget, Refused
from gateway.oauth.replies import Reply
from gateway.oauth.resources import find_resource
from registry.database import Concern

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlmodel import Session

    from authz.tables import Client
    from authz.tokens.families import Allowance, Reused
    from gateway.oauth.asking import Ask
    from gateway.office import Office
    from gateway.snapshots import Snapshot

# At debug level Authlib writes whole tokens into its log.
logging.getLogger("authlib").setLevel(logging.INFO)


@dataclass(slots=True, kw_only=True)
class Desk:
    """What one request works with."""

    office: Office
    snapshot: Snapshot
    session: Session
    now: float
    address: str = ""
    evidence: Evidence = field(default_factory=Evidence)
    notes: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    refusals: list[dict[str, Any]] = field(default_factory=list)
    moved: set[Concern] = field(default_factory=set)

    @property
    def base(self) -> str:
        return self.office.settings.base_url

    @property
    def jkt(self) -> str:
        """The key that this request proved (RFC 9449), by its thumbprint; empty without a proof."""
        return self.evidence.proof.jkt if self.evidence.proof else ""

    def spend_proof(self) -> None:
        """A proof counts once, whatever becomes of its request."""
        proof = self.evidence.proof
        if proof is not None and not once.spend(self.session, "dpop", proof.mark, self.now + dpop.LIFE):
            raise InvalidProof("the DPoP proof was used before")

    def note(self, event: str, who: str, **facts: Any) -> None:
        self.notes.append((event, who, facts | {"address": self.address}))

    def write_down(self) -> None:
        """Before the transaction ends: if the journal cannot be written, nothing happened."""
        self.office.database.move(self.session, *self.moved)
        self.session.flush()
        self.record()

    def record(self) -> None:
        """What was done and refused, for the journal."""
        for event, who, facts in self.notes:
            self.office.journal.note(event, who=who, **facts)
        for facts in self.refusals:
            self.office.journal.refused_unauthenticated(self.address, **facts)


class _Issuer(IssuerParameter):
    """RFC 9207: who answers stands in the answer, in errors too."""

    def __init__(self, server: IssuingServer) -> None:
        self._base = server.desk.base
        super().__call__(server)

    def get_issuer(self) -> str:
        return self._base


class IssuingServer(AuthorizationServer):
    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk
        self.register_extension(_Issuer)
        self.register_client_auth_method("private_key_jwt", self._proved_client)

    # What Authlib's core asks of a server

    def query_client(self, client_id: str) -> AskingClient | None:
        row = find_client(self.desk.session, client_id, self.desk.now)
        return None if row is None else AskingClient(row)

    def _proved_client(self, query_client: Callable[[str], AskingClient | None], _request: Ask) -> AskingClient | None:
        """RFC 7523 section 2.2, once: the assertion was proved before; of two that present it one is the client."""
        said = self.desk.evidence.client
        if said is None:
            return None
        if not once.spend(self.desk.session, f"client:{said.issuer}", said.jti, said.expires_at + LEEWAY):
            raise InvalidClient(status_code=401, description="the client assertion was used before")
        return query_client(said.subject)

    def authenticated(self, ask: Ask, endpoint: str) -> AskingClient:
        """The client of a request to an endpoint besides the token's; InvalidClient with 401 (RFC 6749 section 5.2)."""
        try:
            client: AskingClient = self.authenticate_client(ask, AUTH_METHODS, endpoint)
        except InvalidClient as refused:
            refused.status_code = 401
            raise
        return client

    def save_token(self, token: dict[str, Any], request: Ask) -> None:
        """Nothing: access tokens are not kept, and refresh tokens are when they are made."""

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Nobody listens."""

    def create_oauth2_request(self, request: Ask) -> Ask:
        return request

    def validate_requested_scope(self, scope: str | None) -> None:
        try:
            parse_scope(scope or "mcp")
        except ScopeRefused as refused:
            raise InvalidScope(_plain(str(refused))) from refused

    def handle_response(self, status: int, body: Any, headers: list[tuple[str, str]]) -> Reply:
        return Reply(status, body, {name.lower(): value for name, value in headers})

    def handle_error_response(self, request: Ask, error: Refused) -> Reply:
        if isinstance(error, InvalidClient):
            error.status_code = 401  # RFC 6749 section 5.2
            error.description = (
                error.description
                and "the client is not known, its assertion does not count any more, or its secret is not right"
            )
        self.desk.refusals.append(
            {
                "reason": f"oauth.{error.error}",
                "detail": str(error.get_error_description() or ""),
                "client": request.claimed_client,
                "grant": str(request.payload.grant_type or request.payload.response_type or ""),
            }
        )
        reply: Reply = super().handle_error_response(request, error)
        return reply

    # What happens once the core is content

    def issue(
        self, grant: str, allowed: Allowance, scope: str, family: str = "", actors: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        """The answer with a fresh access token; asks again whether the principal and the resource are still there."""
        self.check_target(allowed.resource, allowed.resource)
        client = self.query_client(allowed.client)
        reach = client.get_allowed_scope(scope) if client is not None else None
        if reach is None:
            raise InvalidScope("nothing of this is within the reach of this client any more")
        minting = replace(self._minting(allowed, reach, family), act=actors)
        return self.hand_out("token.issued", minting, grant=grant)

    def hand_out(self, event: str, minting: Minting, **facts: Any) -> dict[str, Any]:
        """What is said to the client, and put on record; nobody gets anything who is not enabled now."""
        clock.check()
        members = self.desk.snapshot.members
        if minting.subject not in members or any(subject not in members for subject in parties(minting.act)):
            raise InvalidGrant("whoever this was given to is not enabled here any more")
        minted = mint(self.desk.snapshot.keys, replace(minting, jkt=self.desk.jkt), self.desk.now)
        labels = [members[subject].label if subject in members else subject for subject in minting.act]
        self.desk.note(
            event, members[minting.subject].label, client=minting.client, resource=minting.resource,
            scope=minting.scope, jti=minted.jti, family=minting.family, expires_at=minted.expires_at,
            **facts, **({"actors": labels} if labels else {}),
        )  # fmt: skip
        life = minted.expires_at - int(self.desk.now)
        kind = "DPoP" if self.desk.jkt else "Bearer"
        return {"access_token": minted.token, "token_type": kind, "expires_in": life, "scope": minting.scope}

    def bound(self, allowed: Allowance, client: Client) -> Allowance:
        """What a refresh token will carry, if the key that this one is bound to was proved (RFC 9449 section 5).

        A public client's is bound to the key that it proves; who has a secret is held by that already.
        """
        if allowed.jkt and allowed.jkt != self.desk.jkt:
            raise InvalidProof("this is bound to a key: send a DPoP proof of it")
        return replace(allowed, jkt=self.desk.jkt if client.auth_method == "none" else "")

    def check_target(self, asked: str | None, allowed: str | None) -> str:
        """The resource meant, if it exists now and is the one that was allowed (RFC 8707 section 2.2)."""
        found = find_resource(self.desk.base, asked or allowed, self.desk.snapshot)
        if found is None:
            raise InvalidTarget("there is no such resource here: use the URL of the portal or of a server's mount")
        if allowed is not None and found != allowed:
            raise InvalidTarget("this grant is for another resource")
        return found

    def reused(self, what: str, spent: Reused) -> None:
        """A spent secret came again: its family has been ended, and with it the tokens that are out."""
        member = self.desk.snapshot.members.get(spent.person)
        self.desk.moved.add(Concern.CUTOFFS)
        self.desk.note("token.reuse", member.label if member else spent.person, what=what, family=spent.family)

    def _minting(self, allowed: Allowance, scope: str, family: str) -> Minting:
        return Minting(
            issuer=self.desk.base,
            subject=allowed.person,
            client=allowed.client,
            resource=allowed.resource,
            scope=scope,
            life=self.desk.office.settings.token_life,
            family=family,
            auth_time=allowed.auth_time,
            acr=allowed.acr,
            amr=allowed.amr,
        )


def _plain(text: str) -> str:
    """RFC 6749 section 5.2: an error description has neither quotes nor backslashes."""
    return "".join(char if " " <= char <= "~" and char not in '"\\' else "'" for char in text)
