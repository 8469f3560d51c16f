"""Signatures and nothing else: compact JWS with ES256. The only module that speaks joserfc.

What a payload means is judged in `authz.tokens`. Reading here is strict where libraries are lenient: a size cap before
base64, an allow-list of header names, no duplicate member in either part.
"""

from __future__ import annotations

import binascii
import json
from typing import TYPE_CHECKING, Any, NewType

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey
from joserfc.util import urlsafe_b64decode

if TYPE_CHECKING:
    from collections.abc import Mapping

ALGORITHM = "ES256"
TOKEN_LIMIT = 8 * 1024  # bytes of a token, before anything of it is decoded
HEADER_NAMES = frozenset({"alg", "kid", "typ"})  # so jwk, jku, x5u, x5c, crit and b64 are refused with all the rest

PublicKey = NewType("PublicKey", ECKey)
PrivateKey = NewType("PrivateKey", ECKey)


class BadSignature(Exception):
    """Not a compact JWS that one of the given keys signed; the text is a machine word for the record."""


def generate() -> PrivateKey:
    """A new key on P-256."""
    return PrivateKey(ECKey.generate_key("P-256"))


def thumbprint(key: PrivateKey) -> str:
    """RFC 7638: a name for the key that is made of the key."""
    return key.thumbprint()


def public_jwk(key: PrivateKey, kid: str) -> dict[str, Any]:
    """The public half as RFC 7517 publishes it."""
    return dict(key.as_dict(private=False, kid=kid, use="sig", alg=ALGORITHM))


def export_private(key: PrivateKey) -> bytes:
    return key.as_der(private=True)


def import_private(der: bytes) -> PrivateKey:
    return PrivateKey(ECKey.import_key(der))


def import_public(jwk: Mapping[str, Any]) -> PublicKey:
    return PublicKey(ECKey.import_key({name: jwk[name] for name in ("kty", "crv", "x", "y")}))


def sign(payload: Mapping[str, Any], key: PrivateKey, *, kid: str, typ: str) -> str:
    """A compact JWS of `payload`."""
    header = {"alg": ALGORITHM, "kid": kid, "typ": typ}
    body = json.dumps(payload, separators=(",", ":"), ensure_ascii=False).encode()
    return jws.serialize_compact(header, body, key, [ALGORITHM])


def read_header(token: bytes) -> dict[str, Any]:
    """The header, before anything is proved: good for choosing a key and for refusing, and for nothing else."""
    if len(token) > TOKEN_LIMIT:
        raise BadSignature("too_long")
    if token.count(b".") != 2:
        raise BadSignature("not_a_jws")
    header = _read(token.split(b".", 1)[0])
    if not header.keys() <= HEADER_NAMES:
        raise BadSignature("header_name")
    if header.get("alg") != ALGORITHM:
        raise BadSignature("algorithm")
    return header


def verify(token: bytes, key: PublicKey) -> dict[str, Any]:
    """The payload, if `key` signed it. Call `read_header` first."""
    try:
        jws.deserialize_compact(token, key, [ALGORITHM])
    except (JoseError, ValueError) as error:  # binascii.Error is a ValueError
        raise BadSignature("signature") from error
    return _read(token.split(b".", 2)[1])


def _read(segment: bytes) -> dict[str, Any]:
    try:
        value = json.loads(urlsafe_b64decode(segment), object_pairs_hook=_without_twins, parse_constant=_no_constant)
    except (binascii.Error, ValueError, RecursionError) as error:
        raise BadSignature("not_json") from error
    if not isinstance(value, dict):
        raise BadSignature("not_an_object")
    return value


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member occurs twice")
    return members


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
