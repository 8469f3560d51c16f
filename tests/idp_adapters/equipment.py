"""The equipment of an adapter under test: our real way out and our real judge of signatures, marks in memory."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from authz.jose import sign_abroad, verify_foreign
from gateway.fetch import Fetcher
from gateway.identity.equipment import GuardedHttp
from idp_adapters.contract import Equipment, ProviderDown

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from pathlib import Path

BASE_URL = "http://127.0.0.1:9000"


class Marks:
    """One-use marks, as the database would keep them."""

    def __init__(self) -> None:
        self.seen: set[str] = set()

    def __call__(self, key: str, until: float) -> bool:
        new = key not in self.seen
        self.seen.add(key)
        return new


def equipment(
    slug: str = "corp",
    *,
    secrets: Mapping[str, bytes] | None = None,
    addresses: Collection[str] = (),
    ca_file: Path | None = None,
    base_url: str = BASE_URL,
    now: Callable[[], float] = time.time,
    **others: Any,
) -> Equipment:
    """`addresses` are the `scheme://host:port` lines that may be reached on loopback."""

    def secret(purpose: str) -> bytes:
        try:
            return (secrets or {})[purpose]
        except KeyError:
            raise ProviderDown("secret_missing", f"no {purpose} is stored") from None

    made: dict[str, Any] = {
        "slug": slug,
        "base_url": base_url,
        "http": GuardedHttp(Fetcher(addresses, ca_file)),
        "verify_jwt": verify_foreign,
        "sign_jwt": sign_abroad,
        "once": Marks(),
        "secret": secret,
        "now": now,
    }
    return Equipment(**made | others)
