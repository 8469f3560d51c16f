"""Connections to servers, kept alive: found again by server and origin, opened only to addresses that are admitted."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import TYPE_CHECKING

from gateway.egress.budget import Budget
from gateway.egress.connection import Connection, Stale
from gateway.running import as_task
from gateway.upstream import UpstreamBusy, UpstreamError, UpstreamUnreachable
from registry.addresses import admit
from registry.errors import AddressRefused

if TYPE_CHECKING:
    from gateway.egress.reply import Reply, Terms
    from gateway.egress.routes import Route
    from registry.catalog import Credential

PER_SERVER = 256  # connections to one server; a call beyond them is refused rather than queued
RESOLVED_FOR = 30.0  # seconds a name's addresses are remembered
CONNECT_TIMEOUT = 5.0
ADDRESSES_TRIED = 3

Key = tuple[str, str, bool]


class Egress:
    """All connections of this process to servers. Used on one event loop, so nothing here needs a lock."""

    def __init__(self, in_flight_limit: int) -> None:
        self.budget = Budget(in_flight_limit)
        self._idle: dict[Key, list[Connection]] = {}
        self._open: dict[Key, set[Connection]] = {}
        self._resolved: dict[tuple[str, int], tuple[float, tuple[str, ...]]] = {}
        self._tls: ssl.SSLContext | None = None

    async def exchange(
        self,
        route: Route,
        method: str,
        lines: bytes,
        body: bytes,
        terms: Terms,
        *,
        credential: Credential | None = None,
        repeatable: bool = False,
    ) -> Reply:
        """One request and its reply, which the caller closes.

        A kept-alive connection can turn out dead. Only a `repeatable` request is then sent again, and only if no byte
        of an answer came: for any other nobody can tell whether the server has acted on it (RFC 9110 section 9.2.2).
        """
        self.budget.admit(len(body))
        secret = b"" if credential is None else _secret(route, credential)
        if method == "POST":
            request = b"%bContent-Length: %d\r\n%b%b\r\n%b" % (route.post, len(body), lines, secret, body)
        else:
            request = b"".join((route.head(method), lines, secret, b"\r\n"))
        connection = self._take_idle(route.key)
        if connection is not None:
            reply = connection.send(request, terms)
            try:
                await reply
            except Stale:
                reply.close()
                if not repeatable:
                    raise
            except (UpstreamError, asyncio.CancelledError):
                reply.close()
                raise
            else:
                return reply
        return await self._exchange_anew(route, request, terms)

    async def _exchange_anew(self, route: Route, request: bytes, terms: Terms) -> Reply:
        connection = await self._connect(route)
        reply = connection.send(request, terms)
        try:
            await reply
        except (UpstreamError, asyncio.CancelledError):
            reply.close()
            raise
        return reply

    def close(self) -> None:
        for connections in list(self._open.values()):
            for connection in list(connections):
                connection.close()
        self._idle.clear()

    def _take_idle(self, key: Key) -> Connection | None:
        idle = self._idle.get(key)
        while idle:
            connection = idle.pop()
            if connection.usable():
                return connection
            connection.close()
        return None

    async def _connect(self, route: Route) -> Connection:
        if len(self._open.get(route.key, ())) >= PER_SERVER:
            raise UpstreamBusy("too many calls to this server are under way; nothing was sent, try again shortly")
        await as_task()
        try:
            async with asyncio.timeout(2 * CONNECT_TIMEOUT):
                for ip in (await self._addresses(route))[:ADDRESSES_TRIED]:
                    connection = await self._connect_to(ip, route)
                    if connection is not None:
                        return connection
        except TimeoutError:
            pass
        raise UpstreamUnreachable("the server cannot be reached; nothing was sent")

    async def _connect_to(self, ip: str, route: Route) -> Connection | None:
        """A connection to this address of the server; its name stays what TLS checks and what Host says (T-46)."""
        address = route.address
        secure = address.scheme == "https"
        connection = self._unconnected(route.key)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await asyncio.get_running_loop().create_connection(
                    lambda: connection,
                    sock=await _connected(ip, address.port),
                    ssl=self._tls_context() if secure else None,
                    server_hostname=address.host if secure else None,
                )
        except (OSError, TimeoutError):  # ssl.SSLError is an OSError
            self._open[route.key].discard(connection)
            return None
        except asyncio.CancelledError:
            self._open[route.key].discard(connection)
            raise
        return connection

    def _unconnected(self, key: Key) -> Connection:
        opened = self._open.setdefault(key, set())
        idle = self._idle.setdefault(key, [])
        connection = Connection(
            self.budget, lambda conn, now: _put_back(conn, now, idle), lambda conn: _forget(conn, opened, idle)
        )
        opened.add(connection)  # counted from now on, so that a rush cannot open more than it may
        return connection

    async def _addresses(self, route: Route) -> tuple[str, ...]:
        """Where the server's name leads, every one of them admitted, or nowhere."""
        address = route.address
        now = asyncio.get_running_loop().time()
        until, found = self._resolved.get((address.host, address.port), (0.0, ()))
        if until <= now:
            found = await _resolve(address.host, address.port)
            self._resolved[address.host, address.port] = (now + RESOLVED_FOR, found)
        try:
            for ip in found:
                admit(ip, address)
        except AddressRefused as refused:
            raise UpstreamUnreachable(f"the server's address is not allowed (rule: {refused.rule})") from refused
        return found

    def _tls_context(self) -> ssl.SSLContext:
        """Made once: it costs 25 ms."""
        if self._tls is None:
            self._tls = ssl.create_default_context()
            self._tls.minimum_version = ssl.TLSVersion.TLSv1_2
            self._tls.set_alpn_protocols(["http/1.1"])
        return self._tls


async def _connected(ip: str, port: int) -> socket.socket:
    """A socket that finds out by itself when its peer is gone: an event stream may be quiet for hours."""
    sock = socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_STREAM)
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15)
    try:
        await asyncio.get_running_loop().sock_connect(sock, (ip, port))
    except (OSError, asyncio.CancelledError):
        sock.close()
        raise
    return sock


async def _resolve(host: str, port: int) -> tuple[str, ...]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise UpstreamUnreachable("the server's name cannot be resolved; nothing was sent") from error
    return tuple(dict.fromkeys(str(info[4][0]) for info in found))


def _put_back(connection: Connection, now: float, idle: list[Connection]) -> None:
    if connection.is_old():
        connection.close()
        return
    idle.append(connection)
    if idle[0] is not connection and idle[0].is_spent(now):  # the longest idle is first
        idle.pop(0).close()


def _forget(connection: Connection, opened: set[Connection], idle: list[Connection]) -> None:
    opened.discard(connection)
    if connection in idle:
        idle.remove(connection)


def _secret(route: Route, credential: Credential) -> bytes:
    """The credential's line, last of all, and only for the server and the origin it was registered for (T-49)."""
    if credential.server != route.server or credential.origin != route.address.origin:
        raise UpstreamUnreachable("the credential kept for this server belongs to another address; register it again")
    line = b"%s: %s\r\n" % (credential.header, credential.value)
    if line.count(b"\n") != 1 or line.count(b"\r") != 1:
        raise UpstreamUnreachable("the credential kept for this server cannot be sent as a header; enter it again")
    return line
