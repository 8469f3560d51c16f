"""Toward the approved servers, in whichever era they speak.

The words of this seam are modern ones (2026-07-28): whatever era the server is of, a modern ask is sent to it
(`upstreams.Upstreams`) and a modern answer comes back, so that the portal needs one vocabulary. JSON values cross it as
the bytes they were.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from gateway.upstream.troubles import Trouble

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from authz.principals import Principal
    from registry.catalogue import Credential, Entry
    from registry.tables import Era

    Ended = Callable[[Credential], bool]  # whether the account that it is of is not to be used any more


class Ask(msgspec.Struct, kw_only=True, gc=False):
    """A request that may leave: decided, recorded, in the server's own names.

    `params` are the members of `params` except `_meta`, as raw JSON, in the caller's order. `meta` likewise, without
    the reserved envelope keys, the progress token and anything of ours. `capabilities` is the raw JSON object of
    client capabilities that may be declared. `param_headers` are ready `Mcp-Param-*` lines. `progress` asks for
    progress notifications; they come back without their token. `log_level` is empty unless the caller opted in.
    `legacy_session` is the id of the calling legacy client's session (empty for a modern caller). `entry` is the
    approved definition that is asked for, where there is one. `tasks` says that the server can run calls as tasks.
    """

    method: str
    name: str = ""  # what Mcp-Name says: the tool, the prompt, or the URI
    params: Mapping[str, bytes] = {}
    meta: Mapping[str, bytes] = {}
    principal: Principal | None  # None is the gateway itself: probing and refreshing
    capabilities: bytes = b"{}"
    client_info: bytes = b""
    param_headers: tuple[tuple[bytes, bytes], ...] = ()
    progress: bool = False
    log_level: str = ""
    legacy_session: str = ""
    entry: Entry | None = None
    tasks: bool = False


class Answer(msgspec.Struct, frozen=True, gc=False):
    """The end of an exchange: exactly one of the two, raw JSON. A result has its `resultType`.

    `strange` is the method that an error answers as a server of the other era would, which has not acted then.
    """

    result: bytes = b""
    error: bytes = b""
    strange: str = ""


class Downstream(Protocol):
    """Whoever hears what a server says before its answer."""

    async def notify(self, method: str, params: bytes) -> None:
        """A notification that belongs to this ask; `params` is the raw JSON object."""

    async def request(self, method: str, params: bytes) -> bytes:
        """A legacy server asks back: gives the raw result, or raises `AskRefused`."""

    def refuses(self, method: str, params: bytes) -> str:
        """Why what a server asks is put to nobody; empty when it may be put."""


class UpstreamError(Exception):
    """The root of what goes wrong on the way up; its text is ours and fit for a caller, `trouble` says of what kind.

    UpstreamError
    ├── UpstreamUnreachable   502: nothing was sent
    ├── UpstreamBroken        502: it answered something that is no answer to us
    ├── UpstreamSlow          504: the deadline passed
    └── UpstreamBusy          503: left alone, or too much in flight; `retry_after` seconds
    """

    retry_after: int = 0
    trouble: Trouble = Trouble.PROTOCOL

    def __init__(self, message: str = "", trouble: Trouble | None = None) -> None:
        super().__init__(message)
        if trouble is not None:
            self.trouble = trouble


class UpstreamUnreachable(UpstreamError):
    trouble = Trouble.UNREACHABLE


class UpstreamBroken(UpstreamError):
    pass


class UpstreamSlow(UpstreamError):
    trouble = Trouble.SLOW


class UpstreamBusy(UpstreamError):
    trouble = Trouble.BUSY

    def __init__(self, message: str, retry_after: int = 1, trouble: Trouble | None = None) -> None:
        super().__init__(message, trouble)
        self.retry_after = retry_after


class AskRefused(Exception):
    """The client declined, cannot be asked, or did not answer; `error` is the raw JSON-RPC error for the server."""

    def __init__(self, error: bytes) -> None:
        super().__init__("the client cannot be asked")
        self.error = error


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """What a server says of itself; `capabilities` and `info` are decoded JSON objects."""

    era: Era
    protocol_version: str
    capabilities: Mapping[str, Any]
    info: Mapping[str, Any]
    instructions: str = ""


@dataclass(frozen=True, slots=True)
class FeedEvent:
    """Something changed at a server: `method` is the notification's, `uri` is set for resources/updated."""

    server: str
    method: str
    uri: str = ""
