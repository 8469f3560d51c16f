"""Signatures and nothing else: compact JWS, ours with ES256. The only module that speaks joserfc.

What a payload means is judged elsewhere (`authz.tokens.access` for ours). Reading is strict where libraries are
lenient: size is capped before base64, an allow-list of header names, no duplicate member in either part.
"""

from __future__ import annotations

import binascii
import json
from typing import TYPE_CHECKING, Any, NewType

from cryptography.exceptions import UnsupportedAlgorithm
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.util import urlsafe_b64decode

from idp_adapters.contract import IdentityRefused, ProviderDown, Verified

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

ALGORITHM = "ES256"
TOKEN_LIMIT = 8 * 1024  # bytes of a token, before anything of it is decoded
HEADER_NAMES = frozenset({"alg", "kid", "typ"})  # so jwk, jku, x5u, x5c, crit and b64 are refused with all the rest

# Of tokens that others made: asymmetric alone, so that no public key can pass for a shared secret (T-06).
FOREIGN_ALGORITHMS = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519"}
)
FOREIGN_HEADER_NAMES = HEADER_NAMES | {"x5t", "x5t#S256", "nonce"}  # there, and never looked at
FOREIGN_LIMIT = 32 * 1024  # an ID token with 200 group ids has 10 KiB
_KEY_TYPES: dict[str, type[ECKey | OKPKey | RSAKey]] = {"EC": ECKey, "OKP": OKPKey, "RSA": RSAKey}
_CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521", "Ed25519": "Ed25519"}
_RSA_SIZES = range(2048, 8192 + 1)  # bits; with an exponent of as many, one look at a signature takes 40 ms
_LARGEST_EXPONENT = 2**32
_HEADER_WITH_A_KEY = 2048  # bytes; the library's 512 have no room for a key of RSA
PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "k"})  # of a JWK that nobody should be shown

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


def sign_with_own_key(payload: Mapping[str, Any], key: PrivateKey, *, typ: str) -> str:
    """The same, bringing the public half along: what `verify_own_key` reads."""
    header = {"alg": ALGORITHM, "typ": typ, "jwk": dict(key.as_dict(private=False))}
    body = json.dumps(payload, separators=(",", ":")).encode()
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


def verify_foreign(token: str, keys: Sequence[Mapping[str, Any]], algorithms: Collection[str]) -> Verified:
    """What somebody else signed, if one of their `keys` (public JWKs) did. Raises IdentityRefused.

    A key is chosen by the header's `kid`, or tried one by one where there is none; never taken from the token.
    """
    raw = token.encode("utf-8", "replace")
    header = _foreign_header(raw, algorithms)
    for key in _candidates(header, keys):
        try:
            jws.deserialize_compact(raw, key, [header["alg"]])
        except (JoseError, ValueError):
            continue
        return Verified(header, _read_foreign(raw.split(b".", 2)[1]))
    raise _refused("signature")


def read_foreign(token: str) -> Verified:
    """What a token of somebody else says, before anything is proved: good for choosing keys, and for nothing else."""
    raw = token.encode("utf-8", "replace")
    header = _foreign_header(raw, FOREIGN_ALGORITHMS)
    return Verified(header, _read_foreign(raw.split(b".", 2)[1]))


def sign_abroad(claims: Mapping[str, Any], pem: bytes, kid: str = "") -> str:
    """A JWT for somebody else's server, with a key that it knows: RS256, or ES256 and its longer kin."""
    key = _private_abroad(pem)
    algorithm = "RS256" if isinstance(key, RSAKey) else next(a for a, crv in _CURVES.items() if crv == key.curve_name)
    header = {"alg": algorithm, "typ": "JWT", **({"kid": kid} if kid else {})}
    return jws.serialize_compact(header, json.dumps(claims, separators=(",", ":")).encode(), key, [algorithm])


def _private_abroad(pem: bytes) -> ECKey | RSAKey:
    for kind in (RSAKey, ECKey):
        try:
            key = kind.import_key(pem)
        except (JoseError, ValueError, TypeError, UnsupportedAlgorithm):
            continue
        if key.is_private and (isinstance(key, RSAKey) or key.curve_name in _CURVES.values()):
            return key
    raise ProviderDown("client_key", "the client's key is not an RSA or EC private key in PEM without a password")


def verify_own_key(token: str, typ: str) -> tuple[dict[str, Any], str]:
    """The claims of a JWS that brings its own key, and that key's thumbprint (RFC 9449 section 4.2, RFC 7638).

    It proves that whoever made it holds that key, and nothing else. Raises BadSignature.
    """
    raw = token.encode("utf-8", "replace")
    if len(raw) > TOKEN_LIMIT or raw.count(b".") != 2:
        raise BadSignature("not_a_jws")
    header = _read(raw.split(b".", 1)[0])
    if header.keys() != {"typ", "alg", "jwk"} or header["typ"] != typ or header["alg"] not in FOREIGN_ALGORITHMS:
        raise BadSignature("header")
    jwk = header["jwk"]
    key = _foreign_key(jwk, header["alg"]) if isinstance(jwk, dict) and not PRIVATE_MEMBERS & jwk.keys() else None
    if key is None:
        raise BadSignature("key")
    registry = jws.JWSRegistry(algorithms=[header["alg"]])
    registry.max_header_length = _HEADER_WITH_A_KEY
    try:
        jws.deserialize_compact(raw, key, registry=registry)
    except (JoseError, ValueError) as error:
        raise BadSignature("signature") from error
    return _read(raw.split(b".", 2)[1]), key.thumbprint()


def _foreign_header(token: bytes, algorithms: Collection[str]) -> dict[str, Any]:
    if len(token) > FOREIGN_LIMIT:
        raise _refused("too_long")
    if token.count(b".") != 2:
        raise _refused("not_a_jws")
    header = _read_foreign(token.split(b".", 1)[0])
    if not header.keys() <= FOREIGN_HEADER_NAMES:
        raise _refused("header_name")
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in FOREIGN_ALGORITHMS.intersection(algorithms):
        raise _refused("algorithm")
    return header


def _candidates(header: dict[str, Any], keys: Sequence[Mapping[str, Any]]) -> list[ECKey | OKPKey | RSAKey]:
    kid = header.get("kid")
    fitting = (jwk for jwk in keys if kid is None or jwk.get("kid", kid) == kid)
    return [key for jwk in fitting if (key := _foreign_key(jwk, header["alg"])) is not None][:8]


def _foreign_key(jwk: Mapping[str, Any], algorithm: str) -> ECKey | OKPKey | RSAKey | None:
    """The key, if it is one for this algorithm (RFC 7517 section 4): a public signing key, long enough."""
    curve = _CURVES.get(algorithm)
    if jwk.get("use", "sig") != "sig" or jwk.get("alg", algorithm) != algorithm or jwk.get("crv") != curve:
        return None
    wanted = {"kty", "crv", "x", "y", "n", "e"}
    try:
        kind = _KEY_TYPES[jwk["kty"]]
        key = kind.import_key({name: value for name, value in jwk.items() if name in wanted})
        return None if isinstance(key, RSAKey) and not _fits(key) else key
    except (JoseError, ValueError, KeyError, TypeError):
        return None


def _fits(key: RSAKey) -> bool:
    """Strong enough, and cheap to try: anybody may register a key, or bring one along."""
    return key.raw_value.key_size in _RSA_SIZES and key.public_key.public_numbers().e < _LARGEST_EXPONENT


def _read_foreign(segment: bytes) -> dict[str, Any]:
    try:
        return _read(segment)
    except BadSignature as error:
        raise _refused(str(error)) from error


def _refused(reason: str) -> IdentityRefused:
    return IdentityRefused(f"jwt_{reason}", "the token's signature does not hold")


def _read(segment: bytes) -> dict[str, Any]:
    try:
        text = urlsafe_b64decode(segment).decode()
        value = json.loads(text, object_pairs_hook=_without_twins, parse_constant=_no_constant)
        if "\\u" in text:
            _check_escapes(text, value)
    except (binascii.Error, ValueError, RecursionError) as error:
        raise BadSignature("not_json") from error
    if not isinstance(value, dict):
        raise BadSignature("not_an_object")
    return value


def _check_escapes(text: str, value: Any) -> None:
    """Half a character is no text (RFC 8259 section 8.2), and no database keeps a null in one."""
    if "\\u0000" in text:
        raise ValueError("a character that no text has")
    json.dumps(value, ensure_ascii=False).encode()


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member occurs twice")
    return members


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
