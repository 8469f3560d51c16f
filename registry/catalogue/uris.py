"""One spelling of a URI (RFC 3986 section 6.2.2), for the names that a template matches: what a rule says of a resource
must hold for all that its server would take for the same.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

LONGEST = 4096
_LEGAL = re.compile(r"(?:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-F]{2})+")
_NEEDLESS = re.compile(r"%(?:4[1-9A-F]|5[0-9AF]|6[1-9A-F]|7[0-9AE]|3[0-9]|2[DE])")  # escapes of unreserved characters
_DOTS = re.compile(r"(?:^|/)\.{1,2}(?:/|$)")
_WEB = re.compile(r"(?:https?|wss?|ftp)://([^/?#]*)")  # where a host is a name that knows no case


def is_plain(uri: str) -> bool:
    """Whether `uri` is spelled in the one way that counts: nothing escaped without need, escapes in capitals, no dot
    segments, the scheme (and the host of a web address) in small letters, and nothing in it that is in no URI.
    """
    if len(uri) > LONGEST or _LEGAL.fullmatch(uri) is None or _NEEDLESS.search(uri):
        return False
    scheme, colon, rest = uri.partition(":")
    web = _WEB.match(uri)
    small = scheme.islower() and (web is None or web[1] == web[1].lower())
    return bool(colon) and small and _DOTS.search(re.split("[?#]", rest, maxsplit=1)[0]) is None


def meanings(uri: str) -> tuple[str, ...]:
    """What a server may take `uri` for: itself, and itself with every escape undone."""
    undone = unquote(uri)
    return (uri,) if undone == uri else (uri, undone)
