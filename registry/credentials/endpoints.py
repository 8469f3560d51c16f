"""Addresses of authorization servers, whoever wrote them down: fit to be asked, and to send a browser to."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

NO_ENDPOINT: Final = "that is no address, whole and with https, without a fragment"


def is_endpoint(address: str, like: str) -> bool:
    """Browsers are sent to some of them as they stand: https, or http where `like` is itself so."""
    try:
        parts = urlsplit(address)
        allowed = {"https", urlsplit(like).scheme} & {"https", "http"}
        plain = address.isascii() and address.isprintable() and " " not in address and "\\" not in address
        return (
            plain
            and parts.scheme in allowed
            and bool(parts.hostname)
            and not parts.fragment
            and "@" not in parts.netloc
        )
    except ValueError:
        return False
