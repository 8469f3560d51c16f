"""Where a registered server is, in the form that a request needs it: nothing a caller says gets in here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from registry.addresses import Address

if TYPE_CHECKING:
    from registry.catalogue import Upstream
    from registry.credentials.tls import Tls

_COMMON = (
    b"\r\nUser-Agent: ostiary\r\nAccept-Encoding: identity\r\n"  # an encoded answer could grow without bound: refused
)
_ACCEPT = {
    "POST": b"Accept: application/json, text/event-stream\r\nContent-Type: application/json\r\n",
    "GET": b"Accept: text/event-stream\r\n",
    "DELETE": b"",
}


Key = tuple[str, str, bool, str]  # connections are shared by what agrees in this: never with another certificate


@dataclass(frozen=True, slots=True)
class Route:
    """A server's address and the head of each request to it, up to the lines that differ per request."""

    server: str
    address: Address
    post: bytes
    get: bytes
    delete: bytes
    key: Key
    tls: Tls | None = None

    def head(self, method: str) -> bytes:
        """Of a message of MCP."""
        if method == "POST":
            return self.post
        return self.get if method == "GET" else self.delete

    def head_to(self, method: str, target: bytes) -> bytes:
        """Of a request to another path and query of the same origin."""
        return b"%b %b HTTP/1.1\r\nHost: %b%b" % (method.encode("ascii"), target, _host(self.address).encode(), _COMMON)


def route_to(server: Upstream) -> Route:
    """The route of an approved server, which is a constant of its registration (T-48)."""
    address = Address(
        scheme=server.scheme,
        host=server.host,
        port=server.port,
        target=server.target,
        excepted=server.address_exception,
    )
    heads = {method: _head(method, address) for method in _ACCEPT}
    return Route(
        server=server.slug,
        address=address,
        post=heads["POST"],
        get=heads["GET"],
        delete=heads["DELETE"],
        key=(server.slug, address.origin, address.excepted, server.tls.digest if server.tls is not None else ""),
        tls=server.tls,
    )


def _head(method: str, address: Address) -> bytes:
    return f"{method} {address.target} HTTP/1.1\r\nHost: {_host(address)}".encode("ascii") + _COMMON + _ACCEPT[method]


def _host(address: Address) -> str:
    host = f"[{address.host}]" if ":" in address.host else address.host
    default = 443 if address.scheme == "https" else 80
    return host if address.port == default else f"{host}:{address.port}"
