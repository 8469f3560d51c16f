"""A directory server that notes every byte of a question and says what a test wants, also what no library would.

LDAP is a few nested BER values (RFC 4511); that is all that is read and written here. One thread for each connection.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Mapping, Sequence

SUCCESS, OPERATIONS_ERROR, PROTOCOL_ERROR, REFERRAL, INVALID_CREDENTIALS = 0, 1, 2, 10, 49
BIND, UNBIND, SEARCH, EXTENDED = 0x60, 0x42, 0x63, 0x77
PLAIN = frozenset(range(0x20, 0x7F)) - frozenset(b"*()\\")


@dataclass(frozen=True)
class Search:
    base: str
    filter: str  # as RFC 4515 writes it


@dataclass
class Seen:
    """What arrived, over all connections. `plain` is what came before any encryption."""

    connections: int = 0
    plain: bytes = b""
    binds: list[tuple[str, str]] = field(default_factory=list)
    searches: list[Search] = field(default_factory=list)


def entry(dn: str, attributes: Mapping[str, Sequence[bytes]]) -> bytes:
    said = [_tlv(0x30, _text(name), _tlv(0x31, *(_tlv(4, one) for one in many))) for name, many in attributes.items()]
    return _tlv(0x64, _text(dn), _tlv(0x30, *said))


def reference(url: str) -> bytes:
    return _tlv(0x73, _text(url))


def done(code: int = SUCCESS, referral: str = "") -> bytes:
    return _result(0x65, code, b"", referral)


class FakeDirectory:
    """`answer` gives what follows a search. `binds` says whose password is right; `start` is the answer to StartTLS.

    Without a `context` it is silent where the encryption should begin; with a `pause` an answer comes byte by byte.
    """

    def __init__(
        self,
        context: ssl.SSLContext | None,
        answer: Callable[[Search], Iterator[bytes]],
        *,
        binds: Callable[[str, str], int] = lambda dn, password: SUCCESS,
        start: int | None = SUCCESS,
        pause: float = 0,
    ) -> None:
        self.seen = Seen()
        self._context = context
        self._answer = answer
        self._binds = binds
        self._start = start
        self._pause = pause
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"ldap://127.0.0.1:{self._listener.getsockname()[1]}"
        self._over = threading.Event()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._over.set()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.seen.connections += 1
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError, EOFError), connection:
            message = _read(connection)
            self.seen.plain += message
            number, kind, _ = _parsed(message)
            if kind != EXTENDED or self._start is None:
                self._over.wait()  # silence
                return
            connection.sendall(_message(number, _result(0x78, self._start)))
            if self._start != SUCCESS:
                self._listen_on(connection)
                return
            if self._context is None:
                self._over.wait()  # silence where the encryption should begin
                return
            with self._context.wrap_socket(connection, server_side=True) as encrypted:
                while self._answered(encrypted):
                    pass

    def _listen_on(self, connection: socket.socket) -> None:
        """Whether something is said although nothing is encrypted."""
        while piece := connection.recv(4096):
            self.seen.plain += piece

    def _answered(self, connection: socket.socket) -> bool:
        number, kind, content = _parsed(_read(connection))
        if kind == BIND:
            _, name, password = (value for _, value in _values(content))
            self.seen.binds.append((name.decode(), password.decode()))
            connection.sendall(_message(number, _result(0x61, self._binds(name.decode(), password.decode()))))
        elif kind == SEARCH:
            base, *_, wanted, _ = list(_values(content))
            search = Search(base[1].decode(), _written(*wanted))
            self.seen.searches.append(search)
            for piece in self._answer(search):
                _send(connection, _message(number, piece), self._pause)
        return kind != UNBIND


def _send(connection: socket.socket, message: bytes, pause: float) -> None:
    """At once, or byte by byte."""
    if not pause:
        connection.sendall(message)
        return
    for byte in message:
        connection.sendall(bytes([byte]))
        time.sleep(pause)


def _written(tag: int, content: bytes) -> str:
    """A filter as text."""
    if tag in {0xA0, 0xA1, 0xA2}:
        return f"({'&|!'[tag - 0xA0]}{''.join(_written(*part) for part in _values(content))})"
    if tag == 0x87:
        return f"({content.decode()}=*)"
    if tag == 0xA3:
        (_, name), (_, value) = _values(content)
        written = "".join(chr(byte) if byte in PLAIN else f"\\{byte:02x}" for byte in value)
        return f"({name.decode()}={written})"
    return f"(what is {tag:x})"


def _parsed(message: bytes) -> tuple[int, int, bytes]:
    (_, content), *_ = _values(message)
    (_, number), (kind, operation), *_ = _values(content)
    return int.from_bytes(number, "big"), kind, operation


def _values(content: bytes) -> Iterator[tuple[int, bytes]]:
    while content:
        tag, length, start = content[0], content[1], 2
        if length & 0x80:
            start += length & 0x7F
            length = int.from_bytes(content[2:start], "big")
        yield tag, content[start : start + length]
        content = content[start + length :]


def _read(connection: socket.socket) -> bytes:
    head = _exactly(connection, 2)
    if head[1] & 0x80:
        head += _exactly(connection, head[1] & 0x7F)
        return head + _exactly(connection, int.from_bytes(head[2:], "big"))
    return head + _exactly(connection, head[1])


def _exactly(connection: socket.socket, count: int) -> bytes:
    whole = b""
    while len(whole) < count:
        piece = connection.recv(count - len(whole))
        if not piece:
            raise EOFError
        whole += piece
    return whole


def _message(number: int, operation: bytes) -> bytes:
    return _tlv(0x30, _tlv(2, bytes([number]) if number < 128 else number.to_bytes(4, "big")), operation)


def _result(kind: int, code: int, text: bytes = b"", referral: str = "") -> bytes:
    more = [_tlv(0xA3, _text(referral))] if referral else []
    return _tlv(kind, _tlv(10, bytes([code])), _tlv(4), _tlv(4, text), *more)


def _text(text: str) -> bytes:
    return _tlv(4, text.encode())


def _tlv(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    length = len(content)
    if length < 128:
        return bytes([tag, length]) + content
    return bytes([tag, 0x84]) + length.to_bytes(4, "big") + content
