"""Our access tokens, as they are judged on every call (RFC 9068, RFC 8707 section 2).

joserfc proves a signature; everything else is checked below, in reading order. What was once proved is remembered by
the SHA-256 of the whole token, and judged again when the snapshot moves on.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Protocol

from authz import jose
from authz.acting import OPERATOR, parties, read_chain
from authz.errors import TokenRefused
from authz.principals import Principal, VerifiedClaims
from authz.scopes import parse_scope
from authz.tokens.claims import LEEWAY, TOOL, check_cuts, check_now, check_shape
from authz.tokens.minting import OPERATOR_CLIENT, TYP
from authz.tokens.personal import PREFIX

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from authz.principals import Member
    from authz.tokens.cutoffs import CutOffs
    from authz.tokens.keys import KeySet
    from authz.tokens.personal import Personal

REMEMBERED = 8192  # tokens whose proof is kept
USE_NOTED = 60.0  # seconds after which a further use of a personal token is noted
_PERSONAL, _PERSONAL_KID = PREFIX.encode(), "personal"  # no key of ours is called so


class Judges(Protocol):
    """What of a snapshot judges a token."""

    @property
    def epoch(self) -> int: ...
    @property
    def keys(self) -> KeySet: ...
    @property
    def cutoffs(self) -> CutOffs: ...
    @property
    def members(self) -> Mapping[str, Member]: ...
    @property
    def clients(self) -> frozenset[str]: ...
    @property
    def personal(self) -> Mapping[str, Personal]: ...


@dataclass(frozen=True, slots=True)
class Proved:
    """A token whose signature and claims were proved; `principal` holds for one epoch and until `until`."""

    kid: str
    claims: VerifiedClaims
    epoch: int
    principal: Principal
    until: float


class TokenVerifier:
    """Turns the bytes of a bearer token into a principal, or refuses. One per process; safe between threads.

    `uses` says when each personal token was last judged here, by its id; whoever writes that down empties it.
    """

    def __init__(self, issuer: str, *, operator_tokens: bool = True, personal_tokens: bool = True) -> None:
        self._issuer = issuer
        self._operator_tokens = operator_tokens
        self._personal_tokens = personal_tokens
        self.uses: dict[str, float] = {}
        self._proved: dict[bytes, Proved] = {}

    def verify(self, token: bytes, resource: str, snapshot: Judges, now: float | None = None) -> Principal:
        """Who presents `token` at `resource`. Raises TokenRefused, whose text says nothing about why."""
        return self.prove(token, resource, snapshot, now).principal

    def prove(self, token: bytes, resource: str, snapshot: Judges, now: float | None = None) -> Proved:
        """The same, with the moment until which nothing else need be asked in the same epoch."""
        moment = time.time() if now is None else now
        if len(token) > jose.TOKEN_LIMIT:
            raise TokenRefused("too_long")
        digest = sha256(token).digest()  # of the whole token: a prefix has been another user's before (T-53)
        known = self._proved.get(digest)
        if known is None and token.startswith(_PERSONAL):
            kid, claims = _PERSONAL_KID, self._recognised(digest.hex(), snapshot)
        elif known is None:
            kid, claims = self._prove(token, snapshot, moment)
        elif known.epoch == snapshot.epoch and moment < known.until and known.principal.resource == resource:
            return known
        else:
            kid, claims = known.kid, known.claims
        try:
            proved = self._judge(kid, claims, resource, snapshot, moment)
        except TokenRefused:
            self._proved.pop(digest, None)
            raise
        self._remember(digest, proved)
        return proved

    def verify_subject(self, token: bytes, snapshot: Judges, now: float) -> Principal:
        """Who a token to be exchanged speaks of, wherever it is for (RFC 8693 section 2.1). To the second: what has
        expired leads to nothing new. Raises TokenRefused, also for a tool token, which is the end of its line (M-14).
        """
        if len(token) > jose.TOKEN_LIMIT:
            raise TokenRefused("too_long")
        kid, claims = self._prove(token, snapshot, now)
        if claims.get("token_use") == TOOL:
            raise TokenRefused("tool_token")
        if now >= claims["exp"]:
            raise TokenRefused("expired")
        return self._judge(kid, claims, claims["aud"], snapshot, now).principal

    def _prove(self, token: bytes, snapshot: Judges, now: float) -> tuple[str, VerifiedClaims]:
        try:
            header = jose.read_header(token)
            kid = _kid(header)
            key = snapshot.keys.verifying(kid, now)
            if key is None:
                raise TokenRefused("unknown_key")
            claims = jose.verify(token, key.public)
        except jose.BadSignature as error:
            raise TokenRefused(str(error)) from error
        self._check_claims(claims)
        return kid, VerifiedClaims(claims)

    def _recognised(self, hash_: str, snapshot: Judges) -> VerifiedClaims:
        found = snapshot.personal.get(hash_)
        if found is None or not self._personal_tokens:
            raise TokenRefused("personal_token" if self._personal_tokens else "personal_tokens_off")
        return found.claims(self._issuer)

    def _check_claims(self, claims: dict[str, Any]) -> None:
        """What does not change with time or snapshot."""
        check_shape(claims)
        if claims["iss"] != self._issuer:
            raise TokenRefused("issuer")

    def _judge(self, kid: str, claims: VerifiedClaims, resource: str, snapshot: Judges, now: float) -> Proved:
        """What does change: where and when it is presented, and who still counts."""
        if claims["aud"] != resource:
            raise TokenRefused("audience")  # RFC 8707 section 2: useless anywhere but at the one resource
        good_until = self._vouched_until(kid, claims, snapshot, now)
        check_now(claims, now)
        check_cuts(claims, snapshot.cutoffs)
        self._check_client(claims, snapshot)
        members = [_member(snapshot, subject) for subject in (claims["sub"], *parties(read_chain(claims)))]
        until = _until(claims, members, good_until, now)
        return Proved(kid, claims, snapshot.epoch, _principal(claims, members, now), until)

    def _vouched_until(self, kid: str, claims: VerifiedClaims, snapshot: Judges, now: float) -> float:
        """How long the key stands for the token; of a personal one, until its use is to be noted again."""
        if kid == _PERSONAL_KID:
            self.uses[claims["jti"]] = now
            return now + USE_NOTED
        key = snapshot.keys.verifying(kid, now)
        if key is None:
            raise TokenRefused("unknown_key")
        return key.gone_at

    def _check_client(self, claims: VerifiedClaims, snapshot: Judges) -> None:
        made_by_hand = any(subject.startswith(OPERATOR) for subject in read_chain(claims))
        if (made_by_hand or claims["client_id"] == OPERATOR_CLIENT) and not self._operator_tokens:
            raise TokenRefused("operator_tokens_off")
        if claims["client_id"] not in snapshot.clients:
            raise TokenRefused("client")

    def _remember(self, digest: bytes, proved: Proved) -> None:
        self._proved.pop(digest, None)
        while len(self._proved) >= REMEMBERED:
            self._proved.pop(next(iter(self._proved)), None)
        self._proved[digest] = proved


def _kid(header: dict[str, Any]) -> str:
    if header.get("typ") != TYP:
        raise TokenRefused("typ")  # RFC 9068 section 4: so that no other JWT of ours passes for one
    kid = header.get("kid")
    if not isinstance(kid, str):
        raise TokenRefused("kid")
    return kid


def _member(snapshot: Judges, subject: str) -> Member:
    member = snapshot.members.get(subject)
    if member is None:
        raise TokenRefused("nobody")
    return member


def _until(claims: VerifiedClaims, members: Sequence[Member], good_until: float, now: float) -> float:
    """The earliest moment at which the same question may get another answer in the same epoch."""
    ends = [until for member in members for until in member.groups.values() if until is not None and until > now]
    return min([float(claims["exp"]) + LEEWAY, good_until, *ends])


def _principal(claims: VerifiedClaims, members: Sequence[Member], now: float) -> Principal:
    """The first of `members`, and each acted for by the one after."""
    member, *acting = members
    return Principal(
        claims=claims,
        issuer=claims["iss"],
        subject=member.id,
        label=member.label,
        subjects=member.subjects(now),
        client=claims["client_id"],
        scopes=parse_scope(claims["scope"]),
        resource=claims["aud"],
        expires_at=claims["exp"],
        is_admin=member.administers(now),
        jkt=claims["cnf"]["jkt"] if "cnf" in claims else "",
        actor=_principal(claims, acting, now) if acting else None,
    )
