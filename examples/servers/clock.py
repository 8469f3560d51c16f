"""A clock as an MCP server of the older kind: it knows the `initialize` handshake and nothing newer.

    python clock.py --port 8102

Most servers in the field are like this one. A client that tries the revision 2026-07-28 is answered as they answer:
HTTP 400 with an error that says nothing of versions, from which it must conclude that it has to shake hands.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from mcp.server import MCPServer
from mcp.server.mcpserver import Context, UserMessage
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import Completion, ToolAnnotations
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from pydantic import BaseModel, Field
from serving import options, serve
from starlette.responses import JSONResponse

if TYPE_CHECKING:
    from mcp_types import CompletionArgument, CompletionContext, PromptReference, ResourceTemplateReference
    from starlette.types import ASGIApp, Receive, Scope, Send

READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)

server = MCPServer(
    "clock",
    title="Clock",
    version="1.0.0",
    log_level="WARNING",
    instructions="Zones have IANA names, such as Europe/Vienna.",
)


class Time(BaseModel):
    """A moment as people of one zone read it."""

    zone: str
    iso: str = Field(description="ISO 8601 with the offset from UTC")
    weekday: str


@cache
def _zones() -> tuple[str, ...]:
    return tuple(sorted(available_timezones()))


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise ToolError(f"{name!r} is no time zone; say it like Europe/Vienna.") from None


def _time(moment: datetime, zone: str) -> Time:
    there = moment.astimezone(_zone(zone))
    return Time(zone=zone, iso=there.isoformat(timespec="seconds"), weekday=f"{there:%A}")


@server.tool("now", title="What time is it", annotations=READS)
async def now(zone: str = "UTC") -> Time:
    """Tell the time in a time zone."""
    return _time(datetime.now(UTC), zone)


@server.tool("convert", title="Convert a time", annotations=READS)
async def convert(time: str, source: str, target: str) -> Time:
    """Convert a local time, such as 2026-11-21T15:30, from one time zone to another."""
    try:
        local = datetime.fromisoformat(time)
    except ValueError:
        raise ToolError(f"{time!r} is no time; say it like 2026-11-21T15:30.") from None
    return _time(local.replace(tzinfo=_zone(source)), target)


@server.tool("timer", title="Set a timer", annotations=READS)
async def timer(seconds: Annotated[float, Field(gt=0, le=300)], context: Context) -> str:
    """Wait for some seconds, reporting progress ten times on the way."""
    for tenth in range(1, 11):
        await asyncio.sleep(seconds / 10)
        await context.report_progress(seconds * tenth / 10, seconds)
    return f"{seconds:g} seconds are over."


@server.resource("clock://zones", name="zones", title="Time zones", mime_type="text/plain")
def zones() -> str:
    """All time zones, one a line."""
    return "\n".join(_zones())


@server.prompt("meeting", title="Find a time to meet")
def meeting(zone: str) -> list[UserMessage]:
    """Ask for a time that suits people here and in another zone."""
    return [UserMessage(f"Propose three times next week that are office hours here and in {zone}.")]


@server.completion()  # type: ignore[no-untyped-call, untyped-decorator]
async def complete(
    _ref: PromptReference | ResourceTemplateReference, argument: CompletionArgument, _context: CompletionContext | None
) -> Completion | None:
    """Offer the zones that begin with what was typed."""
    found = [zone for zone in _zones() if zone.startswith(argument.value)]
    return Completion(values=found[:100], total=len(found), has_more=len(found) > 100)


class HandshakeOnly:
    """Answer requests of newer revisions as a server does that has never heard of them.

    The SDK would serve them; this keeps the clock as old as most servers are.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope.get("headers", ()))
        version = headers.get(b"mcp-protocol-version", b"").decode("latin-1")
        if not version or version in HANDSHAKE_PROTOCOL_VERSIONS:
            await self.app(scope, receive, send)
            return
        error = {"code": -32000, "message": "Bad Request: Server not initialized"}
        await JSONResponse({"jsonrpc": "2.0", "error": error, "id": None}, 400)(scope, receive, send)


def main() -> None:
    chosen = options(__doc__).parse_args()
    serve(HandshakeOnly(server.streamable_http_app(host=chosen.host)), chosen.host, chosen.port, chosen.parent)


if __name__ == "__main__":
    main()
