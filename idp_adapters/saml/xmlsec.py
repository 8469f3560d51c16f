"""The xmlsec1 program verifies, decrypts and signs XML: a process for each act, few at once, five seconds each.

Nothing is written to a disk: documents and keys are handed over in memory. What a signature covers is taken from the
program itself, the very bytes that it hashed, and hashed again by us: nobody reads anything else (T-31).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import shutil
import subprocess
import threading
from contextlib import ExitStack
from functools import cache
from typing import TYPE_CHECKING, Final

from idp_adapters.contract import ProviderDown
from idp_adapters.saml.shape import XENC, refused

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from idp_adapters.saml.shape import Signed

PROGRAM: Final = "xmlsec1"
DEADLINE = 5.0  # seconds for one process
AT_ONCE = 4
_MARK = b"== PreDigest data - start buffer:\n"
_END = b"\n== PreDigest data - end buffer"
_free = threading.BoundedSemaphore(AT_ONCE)


def located() -> str:
    """The path of the program. Raises ProviderDown where it is not installed."""
    found = shutil.which(PROGRAM)
    if found is None:
        raise ProviderDown("saml_xmlsec_missing", "the xmlsec1 program is not installed (Debian: apt install xmlsec1)")
    return found


def verify(document: bytes, signed: Signed, certificates: Sequence[bytes]) -> bytes:
    """The canonical bytes of `signed`, which one of the certificates (PEM) signed. Raises IdentityRefused."""
    for certificate in certificates:
        options = ["--enabled-reference-uris", "same-doc", "--enabled-key-data", "raw-x509-cert"]
        options += ["--store-references", "--print-debug", "--pubkey-cert-pem", "@certificate"]
        options += ["--id-attr:ID", _node(signed.tag), "--node-id", signed.id]
        code, out = _run("--verify", options, document, {"@certificate": certificate})
        if code == 0:
            return _covered(out, signed)
    raise refused("signature", "the signature of the identity provider does not hold")


def decrypt(document: bytes, key: bytes) -> bytes:
    """The document with what was encrypted for `key` (PEM) in clear. Raises IdentityRefused."""
    options = ["--privkey-pem", "@key", "--id-attr:Id", f"{XENC}:EncryptedKey"]
    code, out = _run("--decrypt", options, document, {"@key": key})
    if code != 0:
        raise refused("decryption", "the assertion is not encrypted for our key: give the provider our metadata again")
    return out


def sign(document: bytes, tag: str, id_: str, key: bytes) -> bytes:
    """The document with the empty signature in it filled in."""
    options = ["--privkey-pem", "@key", "--id-attr:ID", _node(tag), "--node-id", id_]
    code, out = _run("--sign", options, document, {"@key": key})
    if code != 0:
        raise ProviderDown("saml_signing", "xmlsec1 cannot sign with our key for this provider (sp_key)")
    return out


def _covered(out: bytes, signed: Signed) -> bytes:
    """What was hashed; that it hashes to what the signature says is seen again here."""
    _, mark, rest = out.partition(_MARK)
    covered, end, _ = rest.rpartition(_END)
    try:
        expected = base64.b64decode(signed.value, validate=False)
    except ValueError as error:
        raise refused("digest", "the signature of the identity provider does not hold") from error
    if not mark or not end or not hmac.compare_digest(hashlib.new(signed.digest, covered).digest(), expected):
        raise refused("digest", "the signature of the identity provider does not hold")
    return covered


def _node(tag: str) -> str:
    """{namespace}name as the program writes it."""
    namespace, _, name = tag[1:].partition("}")
    return f"{namespace}:{name}"


def _run(act: str, options: Sequence[str], document: bytes, files: Mapping[str, bytes]) -> tuple[int, bytes]:
    program = located()
    if not _free.acquire(timeout=DEADLINE):
        raise ProviderDown("saml_busy", "too many SAML messages are being verified; try again in a moment")
    try:
        with ExitStack() as opened:
            places = {name: _in_memory(opened, content) for name, content in files.items()}
            source = _in_memory(opened, document)
            command = [program, act, *_lax(program), *(places.get(option, option) for option in options), source]
            descriptors = [int(place.rpartition("/")[2]) for place in (*places.values(), source)]
            return _ended(command, descriptors)
    finally:
        _free.release()


def _ended(command: Sequence[str], descriptors: Sequence[int]) -> tuple[int, bytes]:
    try:
        done = subprocess.run(  # noqa: S603 - a fixed program, no shell, and no word of it is foreign but checked ids
            command, check=False, capture_output=True, timeout=DEADLINE, env={}, pass_fds=descriptors
        )
    except subprocess.TimeoutExpired as hung:  # it has been killed by then
        raise ProviderDown("saml_xmlsec_hung", "the xmlsec1 program did not answer in five seconds") from hung
    except OSError as error:
        raise ProviderDown("saml_xmlsec_broken", "the xmlsec1 program cannot be started") from error
    return done.returncode, done.stdout


def _in_memory(opened: ExitStack, content: bytes) -> str:
    descriptor = os.memfd_create("saml")
    opened.callback(os.close, descriptor)
    with os.fdopen(descriptor, "wb", closefd=False) as file:
        file.write(content)
    return f"/dev/fd/{descriptor}"


@cache
def version(program: str) -> tuple[int, ...]:
    """As the program says it; empty when it says none."""
    code, out = _ended([program, "--version"], ())
    words = out.decode("ascii", "replace").split()
    if code != 0 or len(words) < 2:
        return ()
    return tuple(int(part) for part in words[1].split(".") if part.isdigit())


def _lax(program: str) -> list[str]:
    """From 1.3 on the program wants a key's name in the document, which SAML does not have."""
    return ["--lax-key-search"] if version(program) >= (1, 3) else []
