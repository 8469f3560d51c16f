"""API keys that an API wants in its address: put there last, and struck out of whatever comes back.

An address is what people write down: logs, pages of results, "the next is at". So the key is in no target that anything
but the connection sees, and no answer brings it to whoever called.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, quote_plus, unquote_plus, urlsplit

import msgspec

from gateway.upstream import UpstreamUnreachable
from gateway.upstream.openapi.styles import Unwritable
from gateway.upstream.troubles import Trouble
from registry.addresses import exception_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.egress.routes import Route
    from gateway.upstream.openapi.requests import Request
    from registry.catalogue import Credential

STRUCK: Final = b"[key]"


def check_lines(request: Request, credential: Credential | None) -> None:
    """What we authenticate with is said once, and by us. Raises Unwritable."""
    if credential is None:
        return
    if credential.query:
        names = (part.partition(b"=")[0] for part in request.target.partition(b"?")[2].split(b"&"))
        given = {unquote_plus(name.decode("ascii")).lower() for name in names}
        said, where = credential.query.lower() in given, "query parameter"
    else:
        lines = {line.partition(b":")[0].lower() for line in request.lines.split(b"\r\n")}
        said, where = credential.header.lower() in lines, "header"
    if said:
        raise Unwritable(f"an argument goes into the {where} that the gateway authenticates with")


def target_with(target: bytes, route: Route, credential: Credential | None) -> bytes:
    """What is asked for, with the key where it is wanted: at the server and the origin that it is for alone (T-49)."""
    if credential is None or not credential.query:
        return target
    if (credential.server, credential.origin) != (route.server, route.address.origin):
        elsewhere = "the key kept for this server belongs to another address; register it again"
        raise UpstreamUnreachable(elsewhere, Trouble.CREDENTIAL)
    return b"%b%b%b" % (target, b"&" if b"?" in target else b"?", pair(credential))


def authenticated(url: str, credential: Credential | None) -> tuple[str, dict[str, str]]:
    """The address and the header lines to GET `url` with, where that is at the origin that the credential is for."""
    if credential is None or exception_line(url) != credential.origin:
        return url, {}
    if credential.query:
        return f"{url}{'&' if '?' in url else '?'}{pair(credential).decode('ascii')}", {}
    if credential.sign is None:
        return url, {credential.header.decode("ascii"): credential.value.decode("latin-1")}
    parts = urlsplit(url)
    target = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
    lines = credential.sign(f"GET {target} HTTP/1.1\r\nHost: {parts.netloc}\r\n".encode("ascii"), b"")
    pairs = (line.partition(b": ")[::2] for line in lines.split(b"\r\n") if line)
    return url, {name.decode("ascii"): value.decode("latin-1") for name, value in pairs}


def pair(credential: Credential) -> bytes:
    """`name=key`, as it stands in a query."""
    return f"{quote(credential.query, safe='')}={quote(credential.value, safe='')}".encode("ascii")


def without(result: bytes, credential: Credential | None) -> bytes:
    """An answer in which the key stands nowhere, however it is written there: many APIs say their own address."""
    if credential is None or not credential.query:
        return result
    return re.sub(b"|".join(map(re.escape, _forms(credential.value.decode("ascii")))), STRUCK, result)


def _forms(key: str) -> list[bytes]:
    """As it is, escaped for an address, and each of them in JSON, which may stand in a text that is JSON again; longest
    first, so that none is left by half.
    """
    return sorted({form.encode("ascii") for form in _written(key)}, key=len, reverse=True)


def _written(key: str) -> Iterator[str]:
    escaped = {key, quote(key, safe=""), quote_plus(key), quote(key), quote(key, safe="~!*'()")}
    for one in escaped | {re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), form) for form in escaped}:
        once = _in_json(one)
        yield from (one, *once, *(twice for text in once for twice in _in_json(text)))


def _in_json(text: str) -> tuple[str, str]:
    """As we write it, and as PHP does."""
    written = msgspec.json.encode(text).decode()[1:-1]
    return written, written.replace("/", "\\/")
