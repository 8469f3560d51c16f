"""What the record keeps of a call's arguments: a keyed digest, and a form with secrets and long values taken out.

A plain digest of short arguments could be guessed, so it is an HMAC under the journal's key. The readable form costs a
few microseconds for a usual call and is bounded for a large one: beyond the limits there is the digest alone.
"""

from __future__ import annotations

import hmac
import re
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
    r"eyJ[\w-]{8,}\.|ost_\w+|\bsk-[\w-]{8}|\bgh[pousr]_\w{8}|\bgithub_pat_|\bxox[abprs]-|\bAKIA[0-9A-Z]{8}|\bAIza[\w-]{8}"
    r"|-----BEGIN |\b(?:Bearer|Basic) [\w.~+/-]{8}|://[^\s/@:]+:[^\s/@]+@|[?&](?:token|key|sig|secret|password|code)=",
    re.IGNORECASE,
)
# One look over the raw bytes: if nothing in it asks for care, it is kept as it came.
_CARE = re.compile(
    rb"[\x00-\x1f\\]|" + _SECRET_KEY.pattern.replace("$", '"').encode() + b"|" + _SECRET_VALUE.pattern.encode(),
    re.IGNORECASE,
)


class Redactor:
    """Makes the `arguments` facts of an intent."""

    def __init__(self, key: bytes, keep: ArgumentRecord) -> None:
        self._key = key
        self._keep = keep

    def facts(self, arguments: bytes) -> dict[str, Any]:
        """`arguments_hmac`, `arguments_size` and, where they are kept, `arguments`."""
        if self._keep is ArgumentRecord.NONE or not arguments:
            return {}
        facts: dict[str, Any] = {
            "arguments_hmac": hmac.digest(self._key, arguments, "sha256").hex(),
            "arguments_size": len(arguments),
        }
        shown = self._shown(arguments)
        if shown is not None:
            facts["arguments"] = shown
        return facts

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
    if len(arguments) <= SHOWN and _CARE.search(arguments) is None:
        return msgspec.Raw(arguments)
    try:
        value = msgspec.json.decode(arguments)
        return _Walk().clean(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, _TooMuch):
        return None


def whole(arguments: bytes) -> Any:
    """The arguments as JSON again, on one line; None when there is too much to keep."""
    if len(arguments) > FULL_LIMIT:
        return None
    try:
        return msgspec.json.decode(arguments)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


class _TooMuch(Exception):
    pass


class _Walk:
    def __init__(self) -> None:
        self._left = NODES

    def clean(self, value: Any) -> Any:
        self._left -= 1
        if self._left < 0:
            raise _TooMuch
        if isinstance(value, str):
            return _string(value)
        if isinstance(value, dict):
            return {_string(key): self._member(key, item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.clean(item) for item in value]
        return value

    def _member(self, key: str, value: Any) -> Any:
        if _SECRET_KEY.search(key):
            return REDACTED
        return self.clean(value)


def _string(value: str) -> str:
    if _SECRET_VALUE.search(value):
        return REDACTED
    if len(value) > SHOWN:
        return f"{value[:SHOWN]}… ({len(value) - SHOWN} more)"
    return value
