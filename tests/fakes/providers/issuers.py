"""Somebody else who signs: keys of a kind, what they publish, and tokens as they would make them, or nearly."""

from __future__ import annotations

import json
import secrets
import time
from typing import Any

from joserfc import jws
from joserfc.jwk import ECKey, RSAKey


class Signer:
    """A key pair with a name."""

    def __init__(self, kid: str = "k1", algorithm: str = "ES256") -> None:
        self.kid, self.algorithm = kid, algorithm
        self.key: Any = RSAKey.generate_key(2048) if algorithm.startswith(("RS", "PS")) else ECKey.generate_key("P-256")

    @property
    def jwks(self) -> dict[str, Any]:
        return {"keys": [self.key.as_dict(private=False, kid=self.kid, use="sig", alg=self.algorithm)]}

    def sign(self, claims: dict[str, Any], typ: str | None = None, **header: Any) -> str:
        """As the library signs; a claim given as None is left away."""
        told = {"alg": self.algorithm, "kid": self.kid, **({"typ": typ} if typ else {}), **header}
        body = {name: value for name, value in claims.items() if value is not None}
        return jws.serialize_compact(told, json.dumps(body).encode(), self.key, [self.algorithm])

    def assertion(self, typ: str | None = None, **claims: Any) -> str:
        """With times and a fresh `jti` unless they are given."""
        now = int(time.time())
        return self.sign({"iat": now, "exp": now + 120, "jti": secrets.token_hex(8)} | claims, typ)
