"""Asking an address that somebody else named: for a client's metadata, an issuer's keys, a provider's tokens.

For the control plane, in its threads. The name is resolved once, each address it leads to must be admitted, and the
connection goes to the first of them; nothing else is followed: no redirect, no proxy of the environment.
"""

from __future__ import annotations

import socket
import ssl
import time
from typing import TYPE_CHECKING

import httpcore2
import httpx2

from idp_adapters.contract import HttpAnswer
from registry.addresses import admit, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
    from pathlib import Path

    from registry.addresses import Address

    Own = Mapping[str, tuple[str, Callable[[], ssl.SSLContext]]]  # by origin, what tells it apart and what makes it

CHUNK = 16 * 1024
_ALWAYS = {"accept": "application/json", "accept-encoding": "identity", "user-agent": "ostiary"}


class FetchFailed(Exception):
    """There is no answer that could be used; the text is ours and fit to be shown."""


class Fetcher:
    """Safe to share between threads: each request has its own connection.

    `exceptions` are `scheme://host:port` lines; `ca_file` holds certificates to trust besides the system's; `own` says
    how TLS is spoken at single origins, where that is not as everywhere.
    """

    def __init__(self, exceptions: Collection[str], ca_file: Path | None = None, own: Own | None = None) -> None:
        self._exceptions = tuple(exceptions)
        self._ca_file = ca_file
        self.own = dict(own or {})
        self._contexts: dict[str, ssl.SSLContext] = {}

    def get(self, url: str, *, limit: int, timeout: float) -> HttpAnswer:
        """GET within `timeout` seconds in all and `limit` bytes. Raises AddressRefused or FetchFailed."""
        return self.send("GET", url, limit=limit, timeout=timeout)

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        limit: int,
        timeout: float,
    ) -> HttpAnswer:
        """The same with another method, headers and a body."""
        address = parse(url, self._exceptions)
        transport = _Pinned(address, self._context(address.origin), time.monotonic() + timeout)
        asked = _ALWAYS | {name.lower(): value for name, value in (headers or {}).items()}
        try:
            with (
                httpx2.Client(transport=transport, follow_redirects=False, trust_env=False, timeout=timeout) as client,
                client.stream(method, url, headers=asked, content=body or None) as response,
            ):
                return _read(response, limit)
        except (httpx2.HTTPError, httpcore2.TimeoutException, httpcore2.NetworkError, httpcore2.ProtocolError) as error:
            raise FetchFailed(_why(address, error)) from error

    def _context(self, origin: str) -> ssl.SSLContext:
        """Made once for each origin of its own, and once for all others: it costs 25 ms."""
        key = origin if origin in self.own else ""
        if key not in self._contexts:
            self._contexts[key] = self.own[key][1]() if key else self._common_context()
        return self._contexts[key]

    def _common_context(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self._ca_file is not None:
            _trust(context, self._ca_file)
        return context


def _trust(context: ssl.SSLContext, ca_file: Path) -> None:
    try:
        context.load_verify_locations(ca_file)
    except OSError as error:  # of which SSLError is one
        raise FetchFailed(f"ca_file: {ca_file} cannot be read as certificates (PEM)") from error


def _why(address: Address, error: Exception) -> str:
    """In words where an administrator can do something about it."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLCertVerificationError):
        cause = cause.__cause__ or cause.__context__
    if cause is not None:
        return (
            f"the certificate of {address.origin} does not hold ({cause.verify_message}): if an authority of your own "
            "made it, name its certificate in ca_file"
        )
    return f"{address.origin} could not be fetched from ({type(error).__name__})"


def _read(response: httpx2.Response, limit: int) -> HttpAnswer:
    if 300 <= response.status_code < 400 and response.status_code != 304:  # not changed
        raise FetchFailed("the address redirects, which is not followed")
    if response.headers.get("content-encoding", "identity") != "identity":
        raise FetchFailed("the answer is encoded although it was asked not to be")
    body = bytearray()
    for piece in response.iter_raw(CHUNK):
        body += piece
        if len(body) > limit:
            raise FetchFailed(f"the answer is larger than {limit} bytes")
    return HttpAnswer(response.status_code, dict(response.headers), bytes(body))


class _Pinned(httpx2.BaseTransport):
    """One connection to one address, whatever the name may lead to a moment later."""

    def __init__(self, address: Address, tls: ssl.SSLContext, deadline: float) -> None:
        self._url = httpcore2.URL(
            scheme=address.scheme.encode(),
            host=address.host.encode(),
            port=address.port,
            target=address.target.encode(),
        )
        backend = _Backend(address, deadline)
        self._pool = httpcore2.ConnectionPool(ssl_context=tls, network_backend=backend, max_connections=1)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Sends it to the address that was checked, not to what another parser makes of the URL."""
        assert isinstance(request.stream, httpx2.SyncByteStream)
        asked = httpcore2.Request(
            method=request.method,
            url=self._url,
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        reply = self._pool.handle_request(asked)
        return httpx2.Response(reply.status, headers=reply.headers, stream=_Body(reply))

    def close(self) -> None:
        self._pool.close()


class _Body(httpx2.SyncByteStream):
    def __init__(self, reply: httpcore2.Response) -> None:
        self._reply = reply

    def __iter__(self) -> Iterator[bytes]:
        yield from self._reply.iter_stream()

    def close(self) -> None:
        self._reply.close()


class _Backend(httpcore2.NetworkBackend):
    """Connects where `registry.addresses` admits, and to nothing else."""

    def __init__(self, address: Address, deadline: float) -> None:
        self._address = address
        self._deadline = deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        ip = _resolve(host, port, self._address)
        stream = httpcore2.SyncBackend().connect_tcp(
            ip, port, _left(self._deadline, timeout), local_address, socket_options
        )
        return _Hurried(stream, self._deadline)


class _Hurried(httpcore2.NetworkStream):
    """A stream on which all waiting together ends at the deadline, however slowly bytes drip."""

    def __init__(self, stream: httpcore2.NetworkStream, deadline: float) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(self._deadline, timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _left(self._deadline, timeout))

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        left = _left(self._deadline, timeout)
        return _Hurried(self._stream.start_tls(ssl_context, server_hostname, left), self._deadline)

    def close(self) -> None:
        self._stream.close()

    def get_extra_info(self, info: str) -> object:
        return self._stream.get_extra_info(info)


def _resolve(host: str, port: int, address: Address) -> str:
    """The first address of the name, provided that every one of them may be connected to."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise FetchFailed(f"the name {address.host} cannot be resolved") from error
    for info in found:
        admit(str(info[4][0]), address)
    return str(found[0][4][0])


def _left(deadline: float, timeout: float | None) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise httpcore2.ReadTimeout
    return left if timeout is None else min(left, timeout)
