"""An upstream that counts what reaches it and answers as told: `python -m tests.fakes.servers.counting --era modern`.

It is built on nothing of MCP, so that it can answer in ways which no SDK would. Beside `/mcp` it serves, for tests:

    GET  /seen     every request so far: [{"method", "headers", "body", "raw"}]; `headers` as a list of pairs
    POST /forget   empty that list
    POST /tools    replace the tools: [{"name", ...}]; what is no tool is passed on as it is
    POST /answer   what `tools/call` answers from now on: {"status", "headers", "body", "delay", "chunks"}
                   ("" as the body puts things back; `{{id}}` in it becomes the request's id)
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.fakes.network.listening import options, serve
from tests.fakes.servers.eras import ERAS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

VERSION = "2026-07-28"
TEXT = {"type": "string"}


def tool(name: str, **properties: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties}
    return {"name": name, "description": f"The tool {name}.", "inputSchema": schema}


TOOLS = [tool("echo", text=TEXT), tool("write", text=TEXT), tool("slow", text=TEXT)]


@dataclass
class Upstream:
    """What was seen, and what is answered."""

    tools: list[Any] = field(default_factory=lambda: list(TOOLS))
    seen: list[dict[str, Any]] = field(default_factory=list)
    answer: dict[str, Any] = field(default_factory=dict)

    async def mcp(self, request: Request) -> Response:
        raw = (await request.body()).decode("utf-8", "surrogateescape")
        message = json.loads(raw) if raw else {}
        headers = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in request.headers.raw]
        self.seen.append({"method": message.get("method"), "headers": headers, "body": message, "raw": raw})
        if request.method != "POST":
            return Response(status_code=405, headers={"Allow": "POST"})
        if "id" not in message:
            return Response(status_code=202)
        if message["method"] == "tools/call" and self.answer:
            return self._told(message["id"])
        result = self._result(message)
        if result is None:
            error = {"code": -32601, "message": "Method not found"}
            return JSONResponse({"jsonrpc": "2.0", "id": message["id"], "error": error}, 404)
        session = {"Mcp-Session-Id": "a-session"} if message["method"] == "initialize" else None
        return JSONResponse({"jsonrpc": "2.0", "id": message["id"], "result": result}, headers=session)

    def _result(self, message: dict[str, Any]) -> dict[str, Any] | None:
        params = message.get("params", {})
        fresh = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
        about = {"capabilities": {"tools": {"listChanged": False}}}
        match message["method"]:
            case "server/discover":
                return {"supportedVersions": [VERSION], **about, **fresh}
            case "initialize":
                return {"protocolVersion": "2025-11-25", "serverInfo": {"name": "counting", "version": "1"}, **about}
            case "tools/list":
                return {"tools": self.tools, **fresh}
            case "tools/call":
                text = json.dumps(params.get("arguments", {}), sort_keys=True)
                return {"content": [{"type": "text", "text": text}], "resultType": "complete"}
            case "ping":
                return {}
        return None

    def _told(self, request_id: Any) -> Response:
        told = self.answer
        body = told["body"].replace("{{id}}", json.dumps(request_id)).encode("utf-8", "surrogateescape")

        async def pieces() -> AsyncIterator[bytes]:
            await asyncio.sleep(told.get("delay", 0))
            size = max(1, -(-len(body) // told.get("chunks", 1)))
            for start in range(0, len(body), size):
                yield body[start : start + size]

        headers = told.get("headers", {"Content-Type": "application/json"})
        return StreamingResponse(pieces(), told.get("status", 200), headers)

    async def shown(self, request: Request) -> Response:
        return JSONResponse(self.seen)

    async def forget(self, request: Request) -> Response:
        self.seen.clear()
        return Response(status_code=204)

    async def set_tools(self, request: Request) -> Response:
        self.tools = await request.json()
        return Response(status_code=204)

    async def set_answer(self, request: Request) -> Response:
        told = await request.json()
        self.answer = told if told.get("body") else {}
        return Response(status_code=204)


def application(upstream: Upstream) -> Starlette:
    return Starlette(
        routes=[
            Route("/mcp", upstream.mcp, methods=["GET", "POST", "DELETE"]),
            Route("/seen", upstream.shown),
            Route("/forget", upstream.forget, methods=["POST"]),
            Route("/tools", upstream.set_tools, methods=["POST"]),
            Route("/answer", upstream.set_answer, methods=["POST"]),
        ]
    )


class OnlyAtMcp:
    """Era rules bind `/mcp` alone; what is there for tests has none."""

    def __init__(self, app: Starlette, era: str) -> None:
        self.app, self.bound = app, ERAS[era](app)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await (self.bound if scope.get("path") == "/mcp" else self.app)(scope, receive, send)


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--era", choices=[*ERAS], default="modern")
    chosen = parser.parse_args()
    serve(OnlyAtMcp(application(Upstream()), chosen.era), chosen.host, chosen.port)


if __name__ == "__main__":
    main()
