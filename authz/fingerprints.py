"""Under what a secret of ours is stored."""

from __future__ import annotations

import hashlib


def fingerprint(secret: str) -> str:
    """SHA-256 is enough for 256 random bits; salt and slowness protect secrets that people chose."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
