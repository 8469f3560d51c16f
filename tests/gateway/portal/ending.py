"""A server of either era whose calls end as a test wants."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from registry.tables import Era
from tests.fakes.servers.raw import LAST, STREAM, Asked, chunk, error, event, http, result

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Respond = Callable[[Asked, asyncio.StreamWriter], Awaitable[bytes | None]]
    End = Callable[["Server", Asked, asyncio.StreamWriter], Awaitable[bytes | None]]


@dataclass
class Server:
    """A server of either era that does as `work` says with the calls that come; `streams` is how it answers them."""

    era: str
    streams: bool = False
    work: Respond | None = None
    greeted: int = 0
    told: list[dict[str, Any]] = field(default_factory=list)  # notifications, and requests that are no calls
    known: set[str] = field(default_factory=set)

    async def __call__(self, asked: Asked, writer: asyncio.StreamWriter) -> bytes | None:
        if not asked.body:
            return http(b"", "405 Method Not Allowed")
        if asked.method == "initialize":
            return self.greet(asked)
        if asked.method != "tools/call":
            self.told.append(asked.message)
            return http(result(asked, {})) if "id" in asked.message else http(b"", "202 Accepted")
        if self.era == "legacy" and asked.headers.get("mcp-session-id") not in self.known:
            return http(error(asked, -32001), "404 Not Found")
        return await (self.work or self.answer)(asked, writer)

    def greet(self, asked: Asked) -> bytes:
        self.greeted += 1
        self.known.add(f"s{self.greeted}")
        hello = {
            "protocolVersion": "2025-11-25",
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "n", "version": "1"},
        }
        return http(result(asked, hello), extra=f"Mcp-Session-Id: s{self.greeted}\r\n")

    async def answer(self, asked: Asked, _: asyncio.StreamWriter) -> bytes:
        return self.said(
            asked, {"content": [{"type": "text", "text": json.dumps(asked.message["params"]["arguments"])}]}
        )

    def said(self, asked: Asked, value: dict[str, Any]) -> bytes:
        kind = {"resultType": "complete"} if self.era == "modern" else {}
        answer = result(asked, {**kind, **value})
        return STREAM + event(answer) + LAST if self.streams else http(answer)

    @property
    def registered(self) -> Era:
        return Era.LEGACY if self.era == "legacy" else Era.MODERN


TEXT = [{"type": "text", "text": "t"}]
RESULT = {"resultType": "complete", "content": TEXT}


def saying(**more: Any) -> End:
    """A result that has these members besides."""

    async def say(server: Server, asked: Asked, _: Any) -> bytes:
        return server.said(asked, {"content": TEXT, **more})

    return say


def with_status(status: str, body: bytes = b"{}") -> End:
    async def say(_: Server, __: Asked, ___: Any) -> bytes:
        return http(body, status)

    return say


async def refusing(_: Server, asked: Asked, __: Any) -> bytes:
    return http(error(asked, -32000))


async def misfit(_: Server, asked: Asked, __: Any) -> bytes:
    return http(error(asked, -32602), "400 Bad Request")


async def anothers(server: Server, asked: Asked, _: Any) -> bytes:
    asked.body = asked.body.replace(b'"id":', b'"id":1', 1)
    return server.said(asked, {"content": TEXT})


async def smuggling(_: Server, asked: Asked, __: Any) -> bytes:
    """A second id, which would stand behind ours if the result were cut out by its place alone."""
    return http(result(asked, RESULT).replace(b" ", b"")[:-1] + b',"id":7}')


async def telling(_: Server, asked: Asked, __: Any) -> bytes:
    note = {"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "error", "data": "x"}}
    return STREAM + event(json.dumps(note).encode()) + event(result(asked, RESULT)) + LAST


async def in_pieces(_: Server, asked: Asked, writer: asyncio.StreamWriter) -> bytes:
    whole = b"event: message\r\ndata: " + result(asked, RESULT) + b"\r\n\r\n"
    for piece in (STREAM, chunk(whole[:30]), chunk(whole[30:])):
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0.01)
    return LAST


async def stopping(_: Server, __: Asked, ___: Any) -> bytes:
    return STREAM + chunk(b'data: {"jsonrpc":') + LAST


async def gone(_: Server, __: Asked, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def cut(_: Server, asked: Asked, writer: asyncio.StreamWriter) -> None:
    writer.write(http(result(asked))[:-5])
    writer.close()


ENDS: dict[str, End] = {
    "failing": saying(isError=True),
    "said not to fail": saying(isError=False),
    "of umlauts": saying(x="\u00e4"),
    "hidden": saying(x="a\u200bb"),
    "cached": saying(ttlMs=5, cacheScope="private"),
    "a list": saying(structuredContent=[1]),
    "an object": saying(structuredContent={"a": 1}),
    "of another kind": saying(resultType="input_required"),
    "unauthorized": with_status("401 Unauthorized"),
    "broken": with_status("500 Internal Server Error", b"oops"),
    "not json": with_status("200 OK", b"{"),
    "refusing": refusing,
    "misfit": misfit,
    "another's": anothers,
    "smuggling": smuggling,
    "telling": telling,
    "in pieces": in_pieces,
    "stopping": stopping,
    "gone": gone,
    "cut": cut,
}
