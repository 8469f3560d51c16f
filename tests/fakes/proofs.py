"""DPoP proofs as a client makes them, or nearly."""

from __future__ import annotations

import base64
import json
import secrets
import time
from hashlib import sha256
from typing import Any

from joserfc.jwk import ECKey

from tests.fakes.tokens import b64, signature


class Holder:
    """Somebody with a key."""

    def __init__(self) -> None:
        self.key = ECKey.generate_key("P-256")

    @property
    def jkt(self) -> str:
        return self.key.thumbprint()

    def proof(self, method: str, url: str, token: str = "", header: dict[str, Any] | None = None, **claims: Any) -> str:
        """A good one; a claim or header member given as None is left away."""
        said: dict[str, Any] = {"htm": method, "htu": url, "iat": int(time.time()), "jti": secrets.token_hex(8)}
        if token:
            said["ath"] = base64.urlsafe_b64encode(sha256(token.encode()).digest()).rstrip(b"=").decode()
        head = {"typ": "dpop+jwt", "alg": "ES256", "jwk": self.key.as_dict(private=False)} | (header or {})
        body = {name: value for name, value in (said | claims).items() if value is not None}
        kept = {name: value for name, value in head.items() if value is not None}
        start = b64(json.dumps(kept).encode()) + b"." + b64(json.dumps(body).encode())
        return (start + b"." + signature(start, self.key)).decode()
