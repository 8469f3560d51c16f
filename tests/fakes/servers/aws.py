"""A service of AWS, as far as it looks at who asks: Signature Version 4 worked out anew, after the documentation."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from tests.fakes.servers.raw import Asked


def is_signed(asked: Asked, region: str, service: str, secret: str) -> bool:
    """As a service would check it, from nothing but what arrived and the key."""
    given = asked.headers["authorization"]
    names = given.partition("SignedHeaders=")[2].partition(",")[0].split(";")
    stamp = asked.headers["x-amz-date"]
    scope = [stamp[:8], region, service, "aws4_request"]
    canonical = hashlib.sha256(_canonical(asked, names).encode()).hexdigest()
    told = "\n".join(["AWS4-HMAC-SHA256", stamp, "/".join(scope), canonical])
    key = b"AWS4" + secret.encode()
    for part in scope:
        key = hmac.digest(key, part.encode(), "sha256")
    return given.endswith("Signature=" + hmac.digest(key, told.encode(), "sha256").hex())


def _canonical(asked: Asked, names: list[str]) -> str:
    method, target, _ = asked.line.split(" ")
    path, _, query = target.partition("?")
    lines = [method, quote(path, safe="/~"), "&".join(sorted(query.split("&")))]
    lines += [f"{name}:{asked.headers[name]}" for name in names]
    return "\n".join([*lines, "", ";".join(names), hashlib.sha256(asked.body).hexdigest()])
