"""The one map from what goes wrong to what a client is told: HTTP status, JSON-RPC code, text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from gateway.upstream import UpstreamBusy, UpstreamSlow

if TYPE_CHECKING:
    from gateway.upstream import UpstreamError

METHOD_NOT_FOUND: Final = -32601
INTERNAL_ERROR: Final = -32603
HEADER_MISMATCH: Final = -32020
MISSING_CAPABILITY: Final = -32021
UNSUPPORTED_VERSION: Final = -32022
URL_NEEDED: Final = -32042  # of 2025-11-25 alone
REFUSED: Final = 4030  # our own: decided against; outside the range that JSON-RPC and MCP reserve

_encode: Final = msgspec.json.Encoder().encode


class Problem(Exception):
    """A request ends here. `code` 0 means no JSON-RPC answer is due: a status, headers and a line of text.

    `cause` is the machine word for the record, where it is more than the caller may know.
    """

    def __init__(
        self,
        status: int,
        code: int,
        message: str,
        *,
        data: Any = None,
        ident: bytes = b"",
        headers: tuple[tuple[bytes, bytes], ...] = (),
        cause: str = "",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.data = data
        self.ident = ident
        self.headers = headers
        self.cause = cause

    @property
    def error(self) -> bytes:
        """The JSON-RPC error object."""
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.data is not None:
            error["data"] = self.data
        return _encode(error)


def of_upstream(error: UpstreamError) -> Problem:
    """What a server's failure looks like from outside; the text is ours already."""
    if isinstance(error, UpstreamBusy):
        return unavailable(str(error), error.retry_after)
    return Problem(504 if isinstance(error, UpstreamSlow) else 502, INTERNAL_ERROR, str(error))


def unavailable(text: str, retry_after: int = 1) -> Problem:
    return Problem(503, INTERNAL_ERROR, text, headers=((b"retry-after", b"%d" % retry_after),))


def journal_down() -> Problem:
    return unavailable("The record cannot be written, so nothing may leave; an operator must see to it.", 5)


def sentence(words: str) -> str:
    """What our errors say, as a person reads it: on a page, or in the words that a model is given."""
    return words[:1].upper() + words[1:] + ("" if words.endswith(".") else ".")
