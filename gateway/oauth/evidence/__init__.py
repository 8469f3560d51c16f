"""What others signed and a token request brings along: proved before the request's transaction begins.

Proving may fetch keys over the network, which nobody does while holding the database. What is judged here is the
signature, the audience and the times; that an assertion counts once is marked within the transaction.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from authz import jose
from authz.clients.known import find_client
from authz.errors import AssertionRefused, ProofRefused
from authz.people import external
from authz.tables import Provider
from authz.tokens import dpop
from authz.tokens.assertions import ID_JAG, Assertion, judge
from authz.tokens.issuers import IssuerKind, trusted
from gateway.oauth.problems import InvalidClient, InvalidGrant, InvalidProof, InvalidRequest
from idp_adapters.contract import IdentityRefused, Verified

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from authz.tables import Client, TrustedIssuer
    from authz.tokens.dpop import Proof
    from gateway.oauth.evidence.keysets import Keys
    from gateway.world import World
    from idp_adapters.contract import ExternalIdentity

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
CLIENT_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
CLIENT_LIFE, IDENTITY_LIFE, WORKLOAD_LIFE = 600.0, 600.0, 86400.0 + 60  # seconds an assertion of each kind may live


@dataclass(frozen=True, slots=True)
class Granted:
    """The assertion of a jwt-bearer grant, of an issuer that is trusted with its kind."""

    kind: IssuerKind
    assertion: Assertion
    newcomer: bool  # a person whom nobody knew until now
    provider: str = ""  # of an identity: whose people the issuer speaks of


@dataclass(frozen=True, slots=True)
class Vouched:
    """A person of ours whom a provider has vouched for, to this client. `newcomer`: other processes may not know yet
    who they are, or of their groups.
    """

    client: str
    provider: str
    person: str
    newcomer: bool
    identity: ExternalIdentity


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was proved: who the client is (`private_key_jwt`), what it presents as a grant, and whom a provider vouches
    for in a token exchange.
    """

    client: Assertion | None = None
    granted: Granted | None = None
    proof: Proof | None = None
    vouched: Vouched | None = None


def gather(world: World, parameters: Mapping[str, str], proofs: Sequence[str] = ()) -> Evidence:
    """Proves what there is to prove. What is present and bad is refused, never ignored (T-17).

    `proofs` are the DPoP headers of a request to the token endpoint.
    """
    proof = _proof(world, proofs) if proofs else None
    client = _client(world, parameters) if _has_client_assertion(parameters) else None
    granted = _granted(world, parameters) if parameters.get("grant_type") == JWT_BEARER else None
    return Evidence(client, granted, proof)


def _proof(world: World, proofs: Sequence[str]) -> Proof:
    """RFC 9449 section 5: one proof, of this request."""
    if len(proofs) != 1:
        raise InvalidProof("one DPoP header, not several")
    url = f"{world.settings.base_url}/oauth/token"
    try:
        return dpop.judge(proofs[0], method="POST", url=url, now=time.time())
    except ProofRefused as refused:
        world.telemetry.refused(f"dpop_{refused.reason}")
        raise InvalidProof(f"the DPoP proof is not one for this request ({refused.reason})") from refused


def _has_client_assertion(parameters: Mapping[str, str]) -> bool:
    named = {"client_assertion", "client_assertion_type"} & parameters.keys()
    if named and parameters.get("client_assertion_type") != CLIENT_ASSERTION:
        raise InvalidRequest(f"client_assertion_type must be {CLIENT_ASSERTION}")
    if named and "client_secret" in parameters:
        raise InvalidRequest("a client assertion and a client secret: use one")
    return bool(named)


def _client(world: World, parameters: Mapping[str, str]) -> Assertion:
    """RFC 7523 section 3: issuer and subject are the client, and so is `client_id` where it is given."""
    token = parameters.get("client_assertion", "")
    try:
        said = jose.read_foreign(token)
        claimed = said.claims.get("sub")
        row = _known_client(world, claimed if isinstance(claimed, str) else "")
        verified = _verified(world, token, said, row.keys, row.keys_uri)
        assertion = _of_client(judge(verified, audiences=_audiences(world), now=time.time(), longest=CLIENT_LIFE), row)
    except (AssertionRefused, IdentityRefused) as refused:
        world.telemetry.refused(f"client_assertion_{refused.reason}")
        raise InvalidClient(status_code=401, description="the client assertion is not valid here") from refused
    if parameters.get("client_id", assertion.subject) != assertion.subject:
        raise InvalidRequest("the client assertion and client_id name two clients")
    return assertion


def _of_client(assertion: Assertion, row: Client) -> Assertion:
    if not assertion.issuer == assertion.subject == row.id:
        raise AssertionRefused("client")
    if not assertion.jti:
        raise AssertionRefused("claim_jti")
    return assertion


def _known_client(world: World, client_id: str) -> Client:
    with world.office.database.read() as session:
        row = find_client(session, client_id, time.time())
    if row is None or row.auth_method != "private_key_jwt":
        raise AssertionRefused("client")
    return row


def _granted(world: World, parameters: Mapping[str, str]) -> Granted:
    """By type and issuer: an ID-JAG speaks of a person, anything else of a workload."""
    token = parameters.get("assertion", "")
    if not token:
        raise InvalidRequest("assertion is required")
    try:
        said = jose.read_foreign(token)
        kind = IssuerKind.IDENTITY if said.header.get("typ") == ID_JAG else IssuerKind.WORKLOAD
        row = _issuer(world, said, kind)
        verified = _verified(world, token, said, row.keys, row.keys_uri)
        assertion = _judged(world, verified, kind)
        newcomer = kind is IssuerKind.IDENTITY and _is_newcomer(world, row.provider, assertion)
    except (AssertionRefused, IdentityRefused) as refused:
        world.telemetry.refused(f"assertion_{refused.reason}")
        raise InvalidGrant("the assertion is not valid here") from refused
    return Granted(kind, assertion, newcomer, row.provider)


def _judged(world: World, verified: Verified, kind: IssuerKind) -> Assertion:
    """An ID-JAG is for our issuer (draft section 3), a workload's token for our token endpoint (SEP-1933)."""
    now = time.time()
    if kind is IssuerKind.WORKLOAD:
        return judge(verified, audiences=_audiences(world), now=now, longest=WORKLOAD_LIFE)
    base = world.settings.base_url
    assertion = judge(verified, audiences={base, f"{base}/"}, now=now, longest=IDENTITY_LIFE, typ=ID_JAG)
    if not assertion.jti:
        raise AssertionRefused("claim_jti")
    return assertion


def _is_newcomer(world: World, provider: str, said: Assertion) -> bool:
    """Whether nobody here has this identity yet. Only read here: who asks has proved nothing about itself by now."""
    with world.office.database.read() as session:
        vouching = session.get(Provider, provider)
        if vouching is None or vouching.disabled_at is not None:
            raise AssertionRefused("provider")
        return external.find(session, said.issuer, said.subject) is None


def words(value: Any) -> str:
    """A claim as text; a list of words as one text with spaces."""
    if isinstance(value, list):
        value = " ".join(word for word in value if isinstance(word, str))
    return value[:1024] if isinstance(value, str) else ""


def _issuer(world: World, said: Verified, kind: IssuerKind) -> TrustedIssuer:
    issuer = said.claims.get("iss")
    with world.office.database.read() as session:
        return trusted(session, issuer if isinstance(issuer, str) else "", kind)


def _verified(world: World, token: str, said: Verified, keys: dict[str, Keys] | None, uri: str) -> Verified:
    kid = said.header.get("kid")
    held = keys["keys"] if keys is not None else world.keysets.keys(uri, kid if isinstance(kid, str) else None)
    return jose.verify_foreign(token, held, jose.FOREIGN_ALGORITHMS)


def _audiences(world: World) -> frozenset[str]:
    """Our issuer or our token endpoint: both are in use (RFC 7523 section 3, and its update of 2025)."""
    base = world.settings.base_url
    return frozenset({base, f"{base}/oauth/token"})
