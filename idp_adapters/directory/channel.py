"""The encrypted way to a directory server, and why there is none.

Python's TLS, not libldap's: that one says nothing of what is wrong with a certificate, and waits for ever where a
server accepts a connection and then keeps silent. So libldap is given one end of a pair of sockets, and what it writes
is carried through TLS to the server. The carrier ends at a deadline, and with it everything that libldap waits for.
"""

from __future__ import annotations

import select
import socket
import ssl
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from idp_adapters.contract import ProviderDown

if TYPE_CHECKING:
    from pathlib import Path

PATIENCE: Final = 3.0  # seconds for the connection, and again for each step of its encryption
PIECE: Final = 65536  # more than one record of TLS, so that none stays behind unseen
BYTES: Final = 64 * 2**20  # of all answers in one conversation
DOWN: Final = "The directory cannot be asked just now. Try again in a minute."
# An ExtendedRequest for StartTLS as message 1 (RFC 4511 section 4.14.1)
START_TLS: Final = b"\x30\x1d\x02\x01\x01\x77\x18\x80\x16" + b"1.3.6.1.4.1.1466.20037"
STARTED: Final = b"\x0a\x01\x00"  # of the answer: its resultCode

# OpenSSL's X509_V_ERR_*
CERTIFICATES: Final = {
    9: "its certificate is not valid yet: is the clock of one of the machines wrong?",
    10: "its certificate has expired (or the clock of this machine is wrong): have it renewed",
    18: "its certificate is signed by itself: set ca_file to a file that holds it",
    19: "its certificate is by an authority that is not trusted: set ca_file to the authority's certificate",
    20: "its certificate is by an authority that is not trusted: set ca_file to the authority's certificate",
    21: "it sends its own certificate without the intermediate ones: have them added there, or to ca_file",
    62: "its certificate is for another name: use the name that is in it, or have a certificate made for this one",
    64: "its certificate is not for this address: use the name that is in it",
}


class NoChannel(ProviderDown):
    """`advice` is for whoever set the directory up."""

    def __init__(self, reason: str, advice: str) -> None:
        super().__init__(reason, DOWN)
        self.advice = advice


def trusting(ca_file: Path | None) -> ssl.SSLContext:
    """What the system trusts, or what is in the file instead."""
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise NoChannel("ca_file", f"ca_file {ca_file} cannot be read as certificates (PEM)") from error


def reached(url: str) -> socket.socket:
    """A connection on which nothing was said yet."""
    parts = urlsplit(url)
    port = parts.port or (636 if parts.scheme == "ldaps" else 389)
    try:
        plain = socket.create_connection((str(parts.hostname), port), PATIENCE)
    except OSError as error:
        raise NoChannel("server_down", _unreached(error, port)) from error
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # a question is small, and waits for its answer
    return plain


def encrypted(plain: socket.socket, url: str, context: ssl.SSLContext) -> ssl.SSLSocket:
    """With the one server that can prove its name. All of `plain` is given up when that fails."""
    parts = urlsplit(url)
    with plain:  # what is wrapped is another object, and stays open
        try:
            if parts.scheme == "ldap":
                _start(plain)
            return context.wrap_socket(plain, server_hostname=parts.hostname)
        except ssl.SSLCertVerificationError as error:
            advice = CERTIFICATES.get(error.verify_code, "its certificate cannot be trusted")
            raise NoChannel("certificate", advice) from error
        except (OSError, ValueError) as error:
            advice = "it does not speak TLS there: is the port right, and ldap:// or ldaps://?"
            raise NoChannel("no_tls", advice) from error


def carried(outer: ssl.SSLSocket, deadline: float) -> socket.socket:
    """The end of a pair on which the server is spoken to as if nothing were encrypted."""
    ours, inner = socket.socketpair()
    threading.Thread(target=_carry, args=(inner, outer, deadline), daemon=True, name="directory").start()
    return ours


def _start(plain: socket.socket) -> None:
    plain.sendall(START_TLS)
    if STARTED not in plain.recv(1024)[:16]:
        raise NoChannel("no_tls", "it does not offer StartTLS: have it set up there, or use ldaps://")


def _carry(inner: socket.socket, outer: ssl.SSLSocket, deadline: float) -> None:
    waiting = select.poll()
    for end in (inner, outer):
        waiting.register(end, select.POLLIN)
    taken = 0
    with inner, outer, suppress(OSError):
        while taken < BYTES and (left := deadline - time.monotonic()) > 0:
            ready = {number for number, _ in waiting.poll(left * 1000)}
            if inner.fileno() in ready and not _passed(inner, outer, left):
                return
            if outer.fileno() in ready:
                passed = _passed(outer, inner, left)
                if passed == 0:
                    return
                taken += passed or 0


def _passed(source: socket.socket, target: socket.socket, left: float) -> int | None:
    """How many bytes; 0 at the end; None where there was only TLS's own talk, as a session ticket."""
    source.settimeout(0)
    try:
        piece = source.recv(PIECE)
    except ssl.SSLWantReadError:
        return None
    target.settimeout(left)
    target.sendall(piece)
    return len(piece)


def _unreached(error: OSError, port: int) -> str:
    if isinstance(error, socket.gaierror):
        return "nobody knows the name of this host: is it spelled right?"
    if isinstance(error, ConnectionRefusedError):
        return f"nothing listens on port {port} there"
    return "nothing answers there: is a firewall in between?"
