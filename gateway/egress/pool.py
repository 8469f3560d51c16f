"""Connections to servers, kept alive: found again by server and origin, opened only to addresses that are admitted."""

from __future__ import annotations

import asyncio
import socket
import ssl
from functools import partial
from typing import TYPE_CHECKING

from gateway.egress.budget import Budget
from gateway.egress.connection import Connection, Stale
from gateway.egress.tls import Contexts, why_not
from gateway.running import as_task
from gateway.upstream import UpstreamBusy, UpstreamError, UpstreamUnreachable
from gateway.upstream.troubles import Trouble
from registry.addresses import admit
from registry.errors import AddressRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from gateway.egress.reply import Reply, Terms
    from gateway.egress.routes import Key, Route
    from registry.catalogue import Credential

PER_SERVER = 256  # connections to one server; a call beyond them is refused rather than queued
RESOLVED_FOR = 30.0  # seconds a name's addresses are remembered
CONNECT_TIMEOUT = 5.0
ADDRESSES_TRIED = 3
WITH_CONTENT = frozenset({"POST", "PUT", "PATCH"})  # whose requests say how long they are, also when they are empty
AGAIN_AFTER = 0.2  # seconds after which a server that refused a connection is tried once more: it may be restarting
OUT_OF_REACH = "the server cannot be reached; nothing was sent"


class Egress:
    """All connections of this process to servers. Used on one event loop, so nothing here needs a lock."""

    def __init__(self, in_flight_limit: int, keys: Callable[[str], bytes]) -> None:
        self.budget = Budget(in_flight_limit)
        self._idle: dict[Key, list[Connection]] = {}
        self._open: dict[Key, set[Connection]] = {}
        self._resolved: dict[tuple[str, int], tuple[float, tuple[str, ...]]] = {}
        self._contexts = Contexts(keys)

    def exchange(
        self,
        route: Route,
        method: str,
        lines: bytes,
        body: bytes,
        terms: Terms,
        *,
        credential: Credential | None = None,
        repeatable: bool = False,
        target: bytes = b"",
    ) -> Coroutine[None, None, Reply]:
        """One request and its reply, which the caller closes.

        Without a `target` it is a message of MCP to the registered address; with one it goes to that path and query of
        the same origin, and `lines` has all that its head holds besides.

        A kept-alive connection can turn out dead. Only a `repeatable` request is then sent again, and only if no byte
        of an answer came: for any other nobody can tell whether the server has acted on it (RFC 9110 section 9.2.2).
        """
        self.budget.admit(len(body))
        head = route.head(method) if not target else route.head_to(method, target)
        if body or method in WITH_CONTENT:
            head = b"%bContent-Length: %d\r\n" % (head, len(body))
        head += lines
        if credential is not None and credential.heard is not None:
            return self._proved(route, credential, head, body, terms, repeatable=repeatable)
        return self._sent(route, _request(route, credential, head, body), terms, repeatable=repeatable)

    async def _proved(
        self, route: Route, credential: Credential, head: bytes, body: bytes, terms: Terms, *, repeatable: bool
    ) -> Reply:
        """The same, where what is signed is good once: signed for each time that it is sent (RFC 9449 section 11.1)."""
        assert credential.heard is not None
        for last in (False, True):
            request = _request(route, credential, head, body)
            try:
                reply = await self._sent(route, request, terms, repeatable=False)
            except Stale:
                if last or not repeatable:
                    raise
                continue
            if not credential.heard(reply.status, reply.challenge, reply.told) or last:
                return reply
            reply.close()
        raise AssertionError

    async def _sent(self, route: Route, request: bytes, terms: Terms, *, repeatable: bool) -> Reply:
        """Over a connection that waits for it, or a new one."""
        connection = self._take_idle(route.key)
        if connection is None:
            return await self._exchange_anew(route, request, terms)
        return await self.settled(connection.send(request, terms), route, request, terms, repeatable=repeatable)

    async def settled(self, reply: Reply, route: Route, request: bytes, terms: Terms, *, repeatable: bool) -> Reply:
        """The reply when it has come, to what was sent on a connection that had waited."""
        try:
            await reply
        except (Stale, UpstreamUnreachable) as dead:
            reply.close()
            if isinstance(dead, Stale) and not repeatable:  # of the other it is known that nothing was sent
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

    def waiting(self, route: Route) -> list[Connection] | None:
        """The connections that wait for a request, if the last of them can have one now."""
        idle = self._idle.get(route.key)
        return idle if idle and idle[-1].usable() else None

    def written(self, route: Route, lines: bytes, body: bytes, credential: Credential | None) -> bytes:
        """A message of MCP as it is sent, whole."""
        if credential is None:
            return b"%bContent-Length: %d\r\n%b\r\n%b" % (route.post, len(body), lines, body)
        head = b"%bContent-Length: %d\r\n%b" % (route.post, len(body), lines)
        return _request(route, credential, head, body)

    async def reach(self, route: Route) -> None:
        """Sees that a connection can be made, and says nothing on it; it waits for whoever asks next."""
        connection = self._take_idle(route.key) or await self._connect(route)
        self._idle.setdefault(route.key, []).append(connection)

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
            full = "too many calls to this server are under way; nothing was sent, try again shortly"
            raise UpstreamBusy(full, trouble=Trouble.FULL)
        await as_task()
        try:
            async with asyncio.timeout(2 * CONNECT_TIMEOUT):
                return await self._connect_somewhere(route)
        except TimeoutError as late:
            raise UpstreamUnreachable(OUT_OF_REACH) from late

    async def _connect_somewhere(self, route: Route) -> Connection:
        """To one of the addresses of the server's name. All are tried again where one refuses: nothing was sent yet."""
        addresses = (await self._addresses(route))[:ADDRESSES_TRIED]
        tls = await self._contexts.of(route) if route.address.scheme == "https" else None
        try:
            return await self._connect_to_any(addresses, route, tls)
        except UpstreamUnreachable as fault:
            if not isinstance(fault.__cause__, ConnectionError):
                raise
        await asyncio.sleep(AGAIN_AFTER)
        return await self._connect_to_any(addresses, route, tls)

    async def _connect_to_any(self, addresses: tuple[str, ...], route: Route, tls: ssl.SSLContext | None) -> Connection:
        fault, cause = UpstreamUnreachable(OUT_OF_REACH), OSError()
        for ip in addresses:
            try:
                return await self._connect_to(ip, route, tls)
            except ssl.SSLError as error:  # is an OSError too
                fault, cause = UpstreamUnreachable(why_not(error), Trouble.TLS), error
            except (OSError, TimeoutError) as error:
                cause = error
        raise fault from cause

    async def _connect_to(self, ip: str, route: Route, tls: ssl.SSLContext | None) -> Connection:
        """A connection to this address of the server; its name stays what TLS checks and what Host says (T-46)."""
        connection = self._unconnected(route.key)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await asyncio.get_running_loop().create_connection(
                    lambda: connection,
                    sock=await _connected(ip, route.address.port),
                    ssl=tls,
                    server_hostname=route.address.host if tls is not None else None,
                )
        except (OSError, TimeoutError, asyncio.CancelledError):
            self._open[route.key].discard(connection)
            raise
        return connection

    def _unconnected(self, key: Key) -> Connection:
        opened = self._open.setdefault(key, set())
        idle = self._idle.setdefault(key, [])
        connection = Connection(self.budget, partial(_put_back, idle), lambda conn: _forget(conn, opened, idle))
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
            forbidden = f"the server's address is not allowed (rule: {refused.rule})"
            raise UpstreamUnreachable(forbidden, Trouble.ADDRESS) from refused
        return found


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
        raise UpstreamUnreachable("the server's name cannot be resolved; nothing was sent", Trouble.NAME) from error
    return tuple(dict.fromkeys(str(info[4][0]) for info in found))


def _put_back(idle: list[Connection], connection: Connection, now: float) -> None:
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


def _request(route: Route, credential: Credential | None, head: bytes, body: bytes) -> bytes:
    secret = b"" if credential is None else _secret(route, credential, head, body)
    return b"%b%b\r\n%b" % (head, secret, body)


def _secret(route: Route, credential: Credential, head: bytes, body: bytes) -> bytes:
    """The credential's line, last of all, and only for the server and the origin it was registered for (T-49)."""
    if credential.server != route.server or credential.origin != route.address.origin:
        elsewhere = "the credential kept for this server belongs to another address; register it again"
        raise UpstreamUnreachable(elsewhere, Trouble.CREDENTIAL)
    if credential.sign is not None:
        return credential.sign(head, body)
    line = b"%s: %s\r\n" % (credential.header, credential.value)
    if line.count(b"\n") != 1 or line.count(b"\r") != 1:
        misshapen = "the credential kept for this server cannot be sent as a header; enter it again"
        raise UpstreamUnreachable(misshapen, Trouble.CREDENTIAL)
    return line
