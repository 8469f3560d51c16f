"""The one door to both planes: whom a request is addressed to, from where, and how much of it there is.

Nothing here reads a body's content. What it learned of the headers goes on with the request (the control plane finds
it in `scope["ostiary"]`), so that the path of a call goes over them once.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import urlsplit

import msgspec

from authz.ids import fresh_mark
from gateway.edge.heads import Heads
from gateway.settings import is_loopback

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from gateway.edge.connection import EdgeProtocol
    from gateway.edge.request import Request
    from gateway.settings import Settings

# Asked by whoever watches over processes, by address and not by name; they hold no secret.
_ANY_HOST: Final = frozenset((b"/healthz", b"/readyz"))
# Read without cookies by browser clients from anywhere (RFC 8414, RFC 9728, RFC 6749, RFC 7591, RFC 7009).
_ANY_ORIGIN: Final = frozenset(
    (b"/oauth/token", b"/oauth/register", b"/oauth/revoke", b"/oauth/jwks", b"/token", b"/register")
)
_ANY_ORIGIN_BELOW: Final = b"/.well-known/"
_ONCE: Final = (
    b"host",
    b"authorization",
    b"dpop",
    b"content-type",
    b"content-length",
    b"content-encoding",
    b"origin",
    b"cookie",
)
KEPT: Final = 256  # bytes of a path up to which its judgement is remembered; anybody may send long ones
# No path of ours has anything escaped in it, so that each has one spelling (RFC 3986 section 6.2.2).
_TEXT: Final = b"text/plain; charset=utf-8"
_REFUSED: Final = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))
_NONE: Final[frozenset[bytes]] = frozenset()
_TROUBLE_IN_PATH: Final = (b"//", b";", b"\\", b"/./", b"/../", b"%")


class Arrival(msgspec.Struct):
    """A request as the edge lets it in. `headers` has the last of doubled ones, `doubled` says which those are."""

    headers: Mapping[bytes, bytes]
    doubled: frozenset[bytes]
    request_id: str
    source: str
    origin: bytes | None
    line: EdgeProtocol | None = None
    request: Request | None = None  # of the data plane


class Refusal(Exception):
    """Answered by the edge itself, wherever in reading a request it comes up."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class DataPlane(Protocol):
    """Where the requests go that are no business of the control plane."""

    def enter(self, request: Request, arrival: Arrival) -> None:
        """The head of a request has come."""

    def again(self, request: Request, body: bytes) -> bool:
        """All of a request has come whose head is known; whether it is served thereby."""


class Edge:
    """The ASGI middleware of the control plane, and what the connections give the requests of the data plane to."""

    def __init__(self, app: ASGIApp, settings: Settings, portal: DataPlane | None = None) -> None:
        self._app = app
        self.portal = portal
        self.limit = settings.request_limit
        self._base = settings.base_url
        self._hosts = _hosts(settings)
        self._origins = frozenset(origin.encode() for origin in (*own_origins(settings), *settings.allowed_origins))
        self._proxies = settings.trusted_proxies
        self.heads = Heads()

    def enter(self, request: Request) -> None:
        """A request of the data plane; whoever is not let in has its answer."""
        line, head = request.line, request.head
        if head is not None and head.found is not None:
            arrival = Arrival(head.headers, head.doubled, fresh_mark(), head.source, head.origin, line, request)
        else:
            try:
                arrival = self._admit(request.path, request.headers, request.lines, line)
            except Refusal as refusal:
                _refuse(request, refusal)
                return
            arrival.request = request
            if head is not None:
                head.doubled, head.source, head.origin = arrival.doubled, arrival.source, arrival.origin
        assert self.portal is not None
        self.portal.enter(request, arrival)

    def refuse_size(self, request: Request) -> None:
        """Its body did not say how large it would be, and is too large."""
        _refuse(request, self._too_large())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        line: EdgeProtocol | None = scope.get("ostiary.line")
        try:
            lines = scope["headers"]
            arrival = scope["ostiary"] = self._admit(scope["raw_path"], dict(lines), lines, line)
        except Refusal as refusal:
            await _answer(send, refusal)
            return
        if b"content-length" in arrival.headers or b"transfer-encoding" not in arrival.headers:
            await self._app(scope, receive, send)
        else:
            await self._limited(scope, receive, send)

    def _admit(
        self, path: bytes, headers: Mapping[bytes, bytes], lines: list[tuple[bytes, bytes]], line: EdgeProtocol | None
    ) -> Arrival:
        doubled = _NONE
        if len(headers) != len(lines):
            doubled = _doubled(lines)
            if not doubled.isdisjoint(_ONCE):
                raise Refusal(400, "A header that may come once came twice.")
        host = headers.get(b"host")
        if host not in self._hosts:
            self._check_host(path, host)
        if _troubled(path):
            raise Refusal(404, "Not found.")
        origin = headers.get(b"origin")
        if origin is not None and origin not in self._origins and not _any_origin(path):
            raise Refusal(403, "This web origin is not accepted; an operator may list it in allowed_origins.")
        self._check_body(headers)
        peer = "" if line is None else line.peer
        source = self._source(peer, headers) if self._proxies else peer
        return Arrival(headers, doubled, fresh_mark(), source, origin, line)

    def _check_host(self, path: bytes, host: bytes | None) -> None:
        if host is None:
            raise Refusal(400, "The Host header is missing.")
        if host.lower() not in self._hosts and path not in _ANY_HOST:
            raise Refusal(421, f"This door answers as {self._base}{_shown(path)} and under no other name.")

    def _check_body(self, headers: Mapping[bytes, bytes]) -> None:
        if b"content-encoding" in headers and headers[b"content-encoding"].lower() != b"identity":
            raise Refusal(415, "Request bodies are taken as they are: send it without Content-Encoding.")
        length = headers.get(b"content-length")
        if length is not None and int(length) > self.limit:
            raise self._too_large()

    def _too_large(self) -> Refusal:
        return Refusal(413, f"The body is larger than {self.limit} bytes.")

    def _source(self, peer: str, headers: Mapping[bytes, bytes]) -> str:
        """Who is at the other end: the peer, or what the last of our own proxies says (nearest first)."""
        for hop in reversed(headers.get(b"x-forwarded-for", b"").decode("latin-1").split(",")):
            if not self._trusted(peer) or not _is_address(hop.strip()):
                break
            peer = hop.strip()
        return peer

    def _trusted(self, address: str) -> bool:
        return _is_address(address) and any(ipaddress.ip_address(address) in network for network in self._proxies)

    async def _limited(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A body without a length is counted while it comes."""
        left = self.limit

        async def counted() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                raise self._too_large()
            return message

        try:
            await self._app(scope, counted, send)
        except Refusal as refusal:
            await _answer(send, refusal)


def own_origins(settings: Settings) -> set[str]:
    """The web origins of our own pages: the public one, and the admin's listener if there is one."""
    scheme = "https" if settings.tls_cert else "http"
    admin = _listener_names(settings.admin_listen) if settings.admin_listen else set()
    return {settings.base_url, *(f"{scheme}://{name}" for name in admin)}


def _hosts(settings: Settings) -> frozenset[bytes]:
    """The names in a Host header that mean us: the public one, with its port left away where it is the usual one."""
    parts = urlsplit(settings.base_url)
    host = parts.netloc
    usual = 443 if parts.scheme == "https" else 80
    names = {host, f"{host}:{usual}"} if parts.port is None else {host}
    if parts.port == usual:
        names.add(host.rpartition(":")[0])
    if settings.admin_listen:
        names |= _listener_names(settings.admin_listen)
    return frozenset(name.encode() for name in names)


def _listener_names(listen: str) -> set[str]:
    host, _, port = listen.rpartition(":")
    return {listen, f"localhost:{port}"} if is_loopback(host.strip("[]")) else {listen}


def _doubled(lines: list[tuple[bytes, bytes]]) -> frozenset[bytes]:
    count = Counter(name.lower() for name, _ in lines)
    return frozenset(name for name, times in count.items() if times > 1)


def _any_origin(path: bytes) -> bool:
    return path in _ANY_ORIGIN or path.startswith(_ANY_ORIGIN_BELOW) or _from_provider(path)


def _from_provider(path: bytes) -> bool:
    """Browsers post a provider's answers from its pages (SAML bindings, 3.5); each answer proves where it is from."""
    return path.startswith(b"/signin/") and path.endswith((b"/callback", b"/logout"))


def _troubled(path: bytes) -> bool:
    """Whether another reader could take the path for a different one (RFC 3986 section 6.2.2)."""
    return (_is_troubled if len(path) <= KEPT else _is_troubled.__wrapped__)(path)


@lru_cache(maxsize=1024)
def _is_troubled(path: bytes) -> bool:
    return any(trouble in path for trouble in _TROUBLE_IN_PATH)


def _shown(path: bytes) -> str:
    text = path.decode("ascii", "replace")
    return text if len(text) <= 200 and text.isprintable() else ""


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _refuse(request: Request, refusal: Refusal) -> None:
    request.keep_alive = False
    if not request.response_complete:
        request.whole(refusal.status, _TEXT, f"{refusal}\n".encode(), _REFUSED)


async def _answer(send: Send, refusal: Refusal) -> None:
    body = f"{refusal}\n".encode()
    headers = [(b"content-type", _TEXT), (b"content-length", b"%d" % len(body)), *_REFUSED, (b"connection", b"close")]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
