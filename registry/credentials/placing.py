"""Where what never changes goes: a header of a request, a cookie, or, of HTTP APIs alone, a parameter of its query."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from registry.addresses import exception_line
from registry.catalogue import Credential
from registry.errors import RegistryError

if TYPE_CHECKING:
    from registry.credentials.modes.static import StaticSettings

NOT_OURS_TO_SET: Final = frozenset(
    {b"host", b"content-length", b"content-type", b"content-encoding", b"transfer-encoding", b"connection", b"accept"}
    | {b"te", b"trailer", b"upgrade", b"expect", b"accept-encoding", b"keep-alive", b"proxy-connection"}
)
_HEADER: Final = re.compile(
    rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}):[ \t]*([\x21-\x7e](?:[\x20-\x7e\t]{0,8190}[\x21-\x7e])?)"
)
_KEY: Final = re.compile(rb"[\x21-\x7e]{8,2000}")
_COOKIE: Final = re.compile(rb"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]{8,2000}")  # RFC 6265 section 4.1.1


@dataclass(frozen=True, slots=True)
class Placed:
    """A value where it goes: in `header`, or in the parameter `query`."""

    header: bytes
    value: bytes = field(repr=False)
    query: str = ""

    def credential(self, server: str, url: str, **whose: Any) -> Credential:
        """It, for this server at this address and nowhere else."""
        return Credential(
            server=server,
            origin=exception_line(url),
            header=self.header,
            value=self.value,
            query=self.query,
            sign=_no_line if self.query else None,
            **whose,
        )


def placed(settings: StaticSettings, value: bytes) -> Placed:
    """Of everybody's the whole line or key that is stored, of a person's the value that they gave.

    Raises RegistryError, saying what is wrong with it.
    """
    value = value.strip()
    if settings.query:
        return Placed(b"", _key(value, _KEY), settings.query)
    if settings.cookie:
        return Placed(b"cookie", b"%b=%b" % (settings.cookie.encode(), _key(value, _COOKIE)))
    scheme = settings.scheme.encode() + b" " if settings.scheme else b""
    line = settings.header.encode() + b": " + scheme + value if settings.personal else value
    return Placed(*split_header(line))


def split_header(line: bytes) -> tuple[bytes, bytes]:
    """Name and value of a header line that a server may be authenticated with."""
    parts = _HEADER.fullmatch(line.strip())
    if parts is None:
        raise RegistryError("the credential must be one header line, for instance `Authorization: Bearer ...`")
    name = parts[1].lower()
    if name in NOT_OURS_TO_SET or name.startswith(b"mcp-"):
        raise RegistryError(f"the header {name.decode()} belongs to the transport and can be no credential")
    return name, parts[2]


def _key(value: bytes, form: re.Pattern[bytes]) -> bytes:
    """Long enough to be told from other text, so that it can be struck out wherever it comes back."""
    if not form.fullmatch(value):
        raise RegistryError(
            "the key must be one word of at least eight printable ASCII characters; for a cookie without quotes, "
            "commas, semicolons and backslashes"
        )
    return value


def _no_line(_head: bytes, _body: bytes) -> bytes:
    """It stands in the address already."""
    return b""
