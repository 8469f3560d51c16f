"""What the record keeps of a call's arguments: a keyed digest, and a form with secrets and long values taken out.

A plain digest of short arguments could be guessed, so it is an HMAC under the journal's key. The readable form costs a
few microseconds for a usual call and is bounded for a large one: beyond the limits there is the digest alone.
"""

from __future__ import annotations

import re
from functools import lru_cache
from hashlib import sha256
from typing import Any

import msgspec

from gateway.settings import ArgumentRecord

LOOKED_AT = 4096  # bytes of arguments that are read at all
NODES = 256  # values in them
SHOWN = 128  # characters of one string
FULL_LIMIT = 32 * 1024
REDACTED = "[redacted]"

_SECRET_KEY = re.compile(
    r"pass(?:word|wd|phrase|code)?$|pwd|secret|token|api.?key|auth(?:orization)?$|cookie|credential|private.?key"
    r"|access.?key|session.?id|bearer|\bpin$|otp|cvv|ssn",
    re.IGNORECASE,
)
_SECRET_VALUE = re.compile(
    r"eyJ[\w-]{8,}\.|ost_\w{4}|sk-[\w-]{8}|gh[pousr]_\w{8}|github_pat_\w|xox[abprs]-|AKIA[0-9A-Z]{8}|AIza[\w-]{8}"
    r"|-----BEGIN |(?:Bearer|Basic) [\w.~+/-]{8}|://[^\s/@:]*:[^\s/@]+@|(?:token|key|sig|secret|password|code)=",
    re.IGNORECASE,
)
_DASHED = ("sk-", "xox", "-----", "ost_", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_")
_COMPOSED = frozenset((dict, list))

_decode = msgspec.json.Decoder().decode


class Redactor:
    """Makes the `arguments` facts of an intent."""

    def __init__(self, key: bytes, keep: ArgumentRecord) -> None:
        self._keep = keep
        # HMAC (RFC 2104) with both pads hashed once: half the cost of hmac.digest for short arguments.
        padded = (key if len(key) <= 64 else sha256(key).digest()).ljust(64, b"\0")
        self._inner = sha256(bytes(byte ^ 0x36 for byte in padded))
        self._outer = sha256(bytes(byte ^ 0x5C for byte in padded))

    def digest(self, arguments: bytes) -> str:
        """HMAC-SHA-256 under the journal's key."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(arguments)
        outer.update(inner.digest())
        return outer.hexdigest()

    def facts(self, arguments: bytes) -> dict[str, Any]:
        """`arguments_hmac`, `arguments_size` and, where they are kept, `arguments`."""
        if self._keep is ArgumentRecord.NONE or not arguments:
            return {}
        facts: dict[str, Any] = {
            "arguments_hmac": self.digest(arguments),
            "arguments_size": len(arguments),
        }
        shown = self._shown(arguments)
        if shown is not None:
            facts["arguments"] = shown
        return facts

    def members(self, arguments: bytes, value: Any = None) -> bytes | None:
        """The same facts as members of a record, for arguments that may stand in it as they are; None for all others.

        Nearly all calls have such arguments, and what is not made need not be written again. `value` is what is in
        them, for whoever has decoded them already.
        """
        if self._keep is not ArgumentRecord.REDACTED or not is_readable(arguments, value):
            return None
        return b',"arguments_hmac":"%b","arguments_size":%d,"arguments":%b' % (
            self.digest(arguments).encode(),
            len(arguments),
            arguments,
        )

    def _shown(self, arguments: bytes) -> Any:
        if self._keep is ArgumentRecord.REDACTED:
            return redacted(arguments)
        if self._keep is ArgumentRecord.FULL:
            return whole(arguments)
        return None


def redacted(arguments: bytes) -> Any:
    """The arguments without what looks like a secret, long strings cut; None when there is too much to look at."""
    if len(arguments) > LOOKED_AT:
        return None
    try:
        value, suspicious = _decode(arguments), _hints_at_a_secret(arguments.decode().lower())
        return value if not suspicious and _is_plain(value) else _Walk(suspicious=suspicious).clean(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, _TooMuch):
        return None


def is_readable(arguments: bytes, value: Any = None) -> bool:
    """Whether `redacted` would take nothing out of these arguments, nor escape anything in them."""
    if not 0 < len(arguments) <= LOOKED_AT or not arguments.isascii():
        return False
    lower = arguments.decode("ascii").lower()
    if _hints_at_a_secret(lower) or _has_controls(lower):
        return False
    try:
        return _is_plain(_decode(arguments) if value is None else value)
    except msgspec.DecodeError:
        return False


def _has_controls(text: str) -> bool:
    """In what is JSON, and ASCII: no others can be in there (RFC 8259 section 7)."""
    return "\n" in text or "\r" in text or "\t" in text or "\x7f" in text


def whole(arguments: bytes) -> Any:
    """The arguments as JSON again, on one line; None when there is too much to keep."""
    if len(arguments) > FULL_LIMIT:
        return None
    try:
        return msgspec.json.decode(arguments)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _is_plain(value: Any) -> bool:
    """Whether there is nothing to take out: how most arguments are, and a walk would cost more than all the rest."""
    if type(value) is not dict or len(value) >= NODES:
        return False
    for key, item in value.items():
        if len(key) > SHOWN or _names_a_secret(key) or type(item) in _COMPOSED:
            return False
        if type(item) is str and len(item) > SHOWN:
            return False
    return True


class _TooMuch(Exception):
    pass


class _Walk:
    def __init__(self, *, suspicious: bool) -> None:
        self._left = NODES
        self._suspicious = suspicious

    def clean(self, value: Any) -> Any:
        self._left -= 1
        if self._left < 0:
            raise _TooMuch
        if isinstance(value, str):
            return self._string(value)
        if isinstance(value, dict):
            return {self._string(key): self._member(key, item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.clean(item) for item in value]
        return value

    def _member(self, key: str, value: Any) -> Any:
        return REDACTED if _names_a_secret(key) else self.clean(value)

    def _string(self, value: str) -> str:
        if self._suspicious and _SECRET_VALUE.search(value):
            return REDACTED
        if len(value) > SHOWN:
            return f"{value[:SHOWN]}… ({len(value) - SHOWN} more)"
        return value


def _hints_at_a_secret(lower: str) -> bool:
    """Whether there is something of any alternative above. Usually none is, and then no string is examined."""
    if "@" in lower or "=" in lower or "\\" in lower or "eyj" in lower:  # the third: escapes could hide the others
        return True
    if "akia" in lower or "aiza" in lower or "bearer" in lower or "basic" in lower:
        return True
    return ("-" in lower or "_" in lower) and any(hint in lower for hint in _DASHED)


@lru_cache(1024)
def _names_a_secret(key: str) -> bool:
    return _SECRET_KEY.search(key) is not None
