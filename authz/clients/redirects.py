"""Redirect URIs: which may be registered, and which request fits one. Strings are compared, never normalised.

RFC 9700 section 4.1.3: exact match; RFC 8252 section 7.3: for a loopback address any port.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable

LONGEST = 1024
_PLAIN = re.compile(r"[\x21\x23-\x3b\x3d\x3f-\x5b\x5d\x5f\x61-\x7a\x7e]+")  # no space, quote, backslash, angle, control
_LOOPBACK = re.compile(r"(http://(?:127\.0\.0\.1|\[::1\]|localhost))(?::([1-9][0-9]{0,4}))?((?:[/?].*)?)")
# Nothing but a host and a port: what else is there would stand in the Content-Security-Policy of the consent page.
_AUTHORITY = re.compile(r"https://(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?(?:[/?].*)?")
_PRIVATE_SCHEME = re.compile(r"[a-z][a-z0-9+.-]{1,63}:/?/?[^/].*")
# Schemes that a browser itself acts on: none of them leads to an app that waits for a code.
_NEVER = frozenset({"about", "blob", "chrome", "data", "file", "filesystem", "ftp", "http", "https", "intent"}) | {
    "javascript", "mailto", "ssh", "tel", "vbscript", "view-source", "ws", "wss"
}  # fmt: skip


def fits(requested: str, registered: Iterable[str]) -> bool:
    """Whether `requested` is one of `registered`, a loopback port aside (RFC 8252 section 7.3)."""
    known = tuple(registered)
    if requested in known:
        return True
    wanted = _without_port(requested)
    return wanted is not None and any(wanted == _without_port(uri) for uri in known)


def is_loopback(uri: str) -> bool:
    """Whether whatever runs on the person's own machine may be listening there."""
    return _loopback(uri) is not None


def problem(uri: str, *, web: bool = False) -> str:
    """Why `uri` may not be registered, or nothing. `web` clients have https redirects only (OIDC registration)."""
    if len(uri) > LONGEST or _PLAIN.fullmatch(uri) is None:
        return "must be an absolute URI of at most 1024 plain ASCII characters"
    if "#" in uri or "*" in uri:
        return "must have no fragment and no wildcard"
    if is_loopback(uri):
        return "must be https for an application of type web" if web else ""
    if uri.startswith("https://"):
        return _https_problem(uri)
    if web:
        return "must be https for an application of type web"
    return _private_problem(uri)


def source(uri: str) -> str:
    """The Content-Security-Policy source that a form leading to `uri` must name."""
    parts = urlsplit(uri)
    if parts.scheme in {"http", "https"} and "[" not in parts.netloc:  # a source cannot spell an IPv6 address
        return f"{parts.scheme}://{parts.netloc}"
    return f"{parts.scheme}:"


def _https_problem(uri: str) -> str:
    try:
        parts = urlsplit(uri)
        usable = bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or _AUTHORITY.fullmatch(uri) is None:
        return "must name a host, without user name"
    return ""


def _private_problem(uri: str) -> str:
    """RFC 8252 section 7.1: a scheme of the application's own."""
    if uri.split(":", 1)[0] in _NEVER:
        return "must be https, or http on 127.0.0.1, [::1] or localhost, or have a scheme of the application's own"
    if _PRIVATE_SCHEME.fullmatch(uri) is None:
        return "must be https, or http on loopback, or scheme://something"
    return ""


def _without_port(uri: str) -> tuple[str, str] | None:
    found = _loopback(uri)
    return None if found is None else (found[1], found[3])


def _loopback(uri: str) -> re.Match[str] | None:
    if _PLAIN.fullmatch(uri) is None or "#" in uri:
        return None
    found = _LOOPBACK.fullmatch(uri)
    if found is None or (found[2] is not None and int(found[2]) > 65535):
        return None
    return found
