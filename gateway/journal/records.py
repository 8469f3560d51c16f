"""The grammar of a line: one JSON object, its sequence number first and its hash last.

`hash` is SHA-256 over the hash before it and the bytes of this line up to itself, so a line vouches for all before it.
Whatever could end a line or move a terminal's cursor is escaped, in every field (threat M-67).
"""

from __future__ import annotations

import hmac
import re
from binascii import hexlify
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

FIELD_LIMIT = 1024  # characters of one value; the record stays readable whoever sends it
LINE_LIMIT = 64 * 1024
_TAIL = re.compile(rb',"hash":"([0-9a-f]{64})"}')
_TAIL_LENGTH = 75
_START = b'{"seq":%d,'
_NOT_ASCII = re.compile("[^ -~]")
_OWN = frozenset({"seq", "at", "event", "hash"})
_SECRET_FACTS = frozenset(
    {"password", "secret", "token", "access_token", "refresh_token", "code", "cookie", "assertion", "authorization"}
)

_encoder = msgspec.json.Encoder(enc_hook=str)


@dataclass(frozen=True, slots=True)
class Record:
    """A line that was read and that fits the chain."""

    seq: int
    digest: bytes
    line: bytes  # without the line feed
    end: int  # the offset after it in its file


class BadLine(Exception):
    """A line is not a record, or not the one that belongs here; says why."""


def genesis(writer: str) -> bytes:
    """What the first record of a writer is chained to."""
    return sha256(b"ostiary journal 1\n" + writer.encode()).digest()


def encode(fields: dict[str, Any]) -> bytes:
    """The fields as a JSON object on one line, bounded and escaped."""
    try:
        body = _encoder.encode(fields)
    except UnicodeEncodeError:
        body = _encode(fields)
    if len(body) > 4 * FIELD_LIMIT:
        body = _encode(_bounded(fields))
    if len(body) > LINE_LIMIT:
        body = _encode({key: _summed_up(value) for key, value in _bounded(fields).items()})
    if body.isascii() and b"\x7f" not in body:
        return body
    text = body.decode()
    return body if text.isprintable() else _NOT_ASCII.sub(_seen, text).encode()


def chain(previous: bytes, seq: int, body: bytes) -> tuple[bytes, bytes]:
    """The finished line, line feed included, and its digest."""
    return chained(previous, seq, (body,))


def chained(previous: bytes, seq: int, bodies: Iterable[bytes]) -> tuple[bytes, bytes]:
    """The finished lines of records that follow each other from number `seq` on, and the digest of the last."""
    lines: list[bytes] = []
    for number, body in enumerate(bodies, seq):
        start = _START % number + body[1:-1]
        previous = sha256(previous + start).digest()
        lines += (start, b',"hash":"', hexlify(previous), b'"}\n')
    return b"".join(lines), previous


def check(previous: bytes, seq: int, line: bytes, end: int) -> Record:
    """The record that `line` is, if it follows `previous` as number `seq`. Raises BadLine."""
    tail = _TAIL.fullmatch(line, len(line) - _TAIL_LENGTH) if len(line) > _TAIL_LENGTH else None
    if tail is None:
        raise BadLine("is not a record")
    if not line.startswith(_START % seq):
        raise BadLine(f"is not number {seq}: a record was removed, doubled or moved")
    digest = sha256(previous + line[:-_TAIL_LENGTH])
    if digest.hexdigest().encode() != tail[1]:
        raise BadLine("does not match its hash: it or the one before was changed")
    return Record(seq, digest.digest(), line, end)


def fitting(previous: bytes, seq: int, lines: Iterable[bytes]) -> tuple[int, bytes]:
    """How many of these lines, line feeds included, follow `previous` from number `seq` on; the digest of the last.

    What `check` says of one line, at a third of the price where there are many.
    """
    count = 0
    for count, line in enumerate(lines, 1):
        digest = sha256(previous + line[: -_TAIL_LENGTH - 1]).digest()
        if line[-_TAIL_LENGTH - 1 :] != b',"hash":"%b"}\n' % hexlify(digest) or not line.startswith(_START % seq):
            return count - 1, previous
        previous, seq = digest, seq + 1
    return count, previous


def digest_of(line: bytes) -> bytes:
    """The hash that a record, or the end of one, says of itself. Raises BadLine."""
    tail = _TAIL.fullmatch(line, max(0, len(line) - _TAIL_LENGTH))
    if tail is None:
        raise BadLine("is not a record")
    return bytes.fromhex(tail[1].decode())


def mark(key: bytes, what: str, segment: str, seq: int, head: bytes) -> str:
    """The keyed mark on a segment's first and last record: without the key no segment can be made up."""
    text = f"{what}\0{segment}\0{seq}\0{head.hex()}"
    return hmac.digest(key, text.encode(), "sha256").hex()


def presentable(facts: dict[str, Any]) -> dict[str, Any]:
    """Facts fit for the record: nothing by a secret's name, and nothing by a name that is the record's own."""
    if not facts:
        return facts
    return {
        f"{key}_" if key in _OWN else key: "[redacted]" if key in _SECRET_FACTS and value else value
        for key, value in facts.items()
    }


def _seen(found: re.Match[str]) -> str:
    """What JSON leaves as it is although terminals and editors act on it (C1, bidi, zero width), as its escape."""
    character = found[0]
    if character.isprintable():
        return character
    units = character.encode("utf-16-be").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def _encode(fields: dict[str, Any]) -> bytes:
    try:
        return _encoder.encode(fields)
    except UnicodeEncodeError:
        return _encoder.encode({key: _paired(value) for key, value in fields.items()})


def _paired(value: Any) -> Any:
    """Lone surrogates made visible; they cannot be written as UTF-8."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_paired(str(key)): _paired(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_paired(item) for item in value]
    return value


def _bounded(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: _cut(value) for key, value in fields.items()}


def _summed_up(value: Any) -> Any:
    """What is too much to keep, so that it can still be told whether it was this."""
    if isinstance(value, (dict, list)):
        return {"items": len(value), "sha256": sha256(_encoder.encode(_paired(value))).hexdigest()}
    return value


def _cut(value: Any) -> Any:
    if isinstance(value, str) and len(value) > FIELD_LIMIT:
        return f"{value[:FIELD_LIMIT]}… ({len(value) - FIELD_LIMIT} more)"
    if isinstance(value, dict):
        return {_cut(str(key)): _cut(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_cut(item) for item in value]
    return value
