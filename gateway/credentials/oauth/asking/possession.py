"""Keys of ours that tokens are bound to (RFC 9449): whoever steals such a token alone can do nothing with it.

A connection has one key from its beginning to its end, for its refresh token may be bound to it as well (section 5). A
token that nobody renews has a key of its own, and both end together.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from authz import jose
from authz.tokens import dpop
from gateway.credentials import Refused
from gateway.credentials.oauth.finding.challenges import UNSAID

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.credentials.equipment import Equipment
    from gateway.credentials.oauth.asking.nonces import Nonces
    from gateway.credentials.oauth.finding.discovery import Found

NONCE: Final = "dpop-nonce"
USE_NONCE: Final = "use_dpop_nonce"
UNBOUND: Final = "its authorization server gave a token that is bound to no key, where one is wanted that is"


@dataclass(frozen=True, slots=True)
class Holder:
    """One key, and what it takes to prove that we have it."""

    key: jose.PrivateKey = field(repr=False)
    nonces: Nonces = field(repr=False)
    clock: Callable[[], float] = field(repr=False)
    jkt: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "jkt", jose.thumbprint(self.key))

    def exported(self) -> bytes:
        """To be sealed with what it is for."""
        return jose.export_private(self.key)

    def proof(self, method: str, url: str, place: str = "", *, token: bytes = b"", body: bytes = b"") -> str:
        """For one request to `url`; `place` is whose nonces it has, where that is not `url` itself.

        With a `token` it goes to a server, and speaks of the content as well (SEP-1932, `content_digest`).
        """
        nonce = self.nonces.of(place or url, self.jkt)
        more = {"nonce": nonce} if nonce else {}
        if token and body:
            more["content_digest"] = f"sha-256=:{base64.b64encode(sha256(body).digest()).decode()}:"
        return dpop.make(self.key, method=method, url=url, now=self.clock(), token=token, more=more)

    def keep(self, place: str, nonce: str) -> bool:
        """What `place` wants in the next proof; whether it says anything."""
        return bool(nonce) and self.nonces.keep(place, self.jkt, nonce)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """A token with its key, as the credential of one origin: its line, and a proof of each request (section 7.1)."""

    holder: Holder
    token: bytes = field(repr=False)
    origin: str  # scheme://host:port

    @property
    def value(self) -> bytes:
        return b"DPoP " + self.token

    def sign(self, head: bytes, body: bytes) -> bytes:
        """The lines that a request with this head needs besides. `htu` is the address as it stands there."""
        first, host, _ = head.split(b"\r\n", 2)
        method, target, _ = first.decode("ascii").split(" ", 2)
        scheme, named = self.origin.partition("://")[0], host.decode("ascii").partition(": ")[2]
        url = f"{scheme}://{named}{target.partition('?')[0]}"
        proof = self.holder.proof(method, url, self.origin, token=self.token, body=body)
        return b"Authorization: %b\r\nDPoP: %b\r\n" % (self.value, proof.encode("ascii"))

    def heard(self, status: int, challenge: bytes, told: Mapping[bytes, bytes]) -> bool:
        """Whether the server wants the same again with the nonce that it gives, which it does before it acts."""
        given = told.get(NONCE.encode(), b"").decode("latin-1")
        return self.holder.keep(self.origin, given) and status == 401 and USE_NONCE.encode() in challenge


def fresh(equipment: Equipment) -> Holder:
    return Holder(jose.generate(), equipment.nonces, equipment.clock)


def opened(equipment: Equipment, exported: bytes) -> Holder | None:
    """The one that was sealed; None where nothing was, for what is bound to no key."""
    return Holder(jose.import_private(exported), equipment.nonces, equipment.clock) if exported else None


def wanted(found: Found) -> bool:
    """Whether tokens for this server are asked for with a key: it takes proofs, and its authorization server binds.

    Many authorization servers bind tokens for whoever proves a key, also for servers that know nothing of it, where the
    token would then be worth nothing; so both have to say it. Raises Refused where the server wants no other, and
    cannot have it.
    """
    unsaid = UNSAID if found.resource.bound else ()
    both = all(jose.ALGORITHM in (said or unsaid) for said in (found.resource.proofs, found.authority.proofs))
    if found.resource.bound and not both:
        raise Refused(
            "the server takes only tokens that are bound to a key, and it or its authorization server takes no proofs "
            f"with {jose.ALGORITHM}: ask their operators to (dpop_signing_alg_values_supported)"
        )
    return both
