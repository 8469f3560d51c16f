"""Why a directory cannot be spoken to encrypted. libldap only says that it cannot, so Python's own TLS is asked."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from idp_adapters.contract import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE: Final = 3.0
# An ExtendedRequest for StartTLS as message 1 (RFC 4511 section 4.14.1)
START_TLS: Final = b"\x30\x1d\x02\x01\x01\x77\x18\x80\x16" + b"1.3.6.1.4.1.1466.20037"
SUCCESS: Final = b"\x0a\x01\x00"  # of the answer: its resultCode

# OpenSSL's X509_V_ERR_*
WORDS: Final = {
    9: "its certificate is not valid yet: is the clock of one of the machines wrong?",
    10: "its certificate has expired (or the clock of this machine is wrong): have it renewed",
    18: "its certificate is signed by itself: set ca_file to a file that holds it",
    19: "its certificate is by an authority that is not trusted: set ca_file to the authority's certificate",
    20: "its certificate is by an authority that is not trusted: set ca_file to the authority's certificate",
    21: "it sends its own certificate without the intermediate ones: have them added there, or to ca_file",
    62: "its certificate is for another name: use the name that is in it, or have a certificate made for this one",
    64: "its certificate is not for this address: use the name that is in it",
}


def probe(url: str, trusted: str) -> Iterator[Finding]:
    """Two steps: whether it is reached, and whether it can prove to be the one that was meant."""
    parts = urlsplit(url)
    host, port = str(parts.hostname), parts.port or (636 if parts.scheme == "ldaps" else 389)
    try:
        plain = socket.create_connection((host, port), PATIENCE)
    except OSError as error:
        yield Finding(f"reach {url}", ok=False, words=_unreached(error, port))
        return
    with plain:
        yield Finding(f"reach {url}", ok=True)
        yield _encrypted(plain, host, f"encrypt {url}", trusted, start=parts.scheme == "ldap")


def _encrypted(plain: socket.socket, host: str, step: str, trusted: str, *, start: bool) -> Finding:
    try:
        context = ssl.create_default_context(cafile=trusted)
    except (OSError, ssl.SSLError):
        return Finding(step, ok=False, words=f"ca_file {trusted} cannot be read as certificates (PEM)")
    try:
        if start and not _starts(plain):
            return Finding(step, ok=False, words="it does not offer StartTLS: have it set up there, or use ldaps://")
        with context.wrap_socket(plain, server_hostname=host):
            return Finding(step, ok=True)
    except ssl.SSLCertVerificationError as error:
        return Finding(step, ok=False, words=WORDS.get(error.verify_code, "its certificate cannot be trusted"))
    except OSError:
        return Finding(step, ok=False, words="it does not speak TLS there: is the port right, and ldap:// or ldaps://?")


def _starts(plain: socket.socket) -> bool:
    plain.sendall(START_TLS)
    answer = plain.recv(1024)
    return SUCCESS in answer[:16]


def _unreached(error: OSError, port: int) -> str:
    if isinstance(error, socket.gaierror):
        return "nobody knows the name of this host: is it spelled right?"
    if isinstance(error, ConnectionRefusedError):
        return f"nothing listens on port {port} there"
    return "nothing answers there: is a firewall in between?"
