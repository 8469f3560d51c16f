"""An HTTP API on loopback, with its own OpenAPI description; keeps every request as it came."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from registry.catalogue import Entry
from registry.openapi.definitions import draw
from registry.openapi.operations import operations
from registry.openapi.reading import read_description
from registry.tables import Kind

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

ITEM = {
    "type": "object",
    "required": ["id", "title"],
    "properties": {
        "id": {"type": "integer", "readOnly": True},
        "title": {"type": "string", "maxLength": 80},
        "done": {"type": "boolean", "nullable": True},
        "parent": {"$ref": "#/components/schemas/Item"},
    },
}


def described(**changes: Any) -> dict[str, Any]:
    """A to-do list, in OpenAPI 3.0."""
    answer = {
        "200": {"description": "ok", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Item"}}}}
    }
    listed = {"200": {"description": "ok", "content": {"application/json": {"schema": {"type": "array", "items": {}}}}}}
    nothing = {"204": {"description": "done"}}
    key = {"name": "item", "in": "path", "required": True, "schema": {"type": "string"}, "description": "which one"}
    taken = {"required": True, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Item"}}}}
    return {
        "openapi": "3.0.3",
        "info": {"title": "To do", "version": "1", "description": "What is to be done."},
        "servers": [{"url": "/api"}],
        "paths": {
            "/items": {
                "get": {
                    "operationId": "items/list", "summary": "List items", "tags": ["items"], "responses": listed,
                    "parameters": [
                        {"name": "page", "in": "query", "schema": {"type": "integer", "minimum": 1}},
                        {"name": "tags", "in": "query", "schema": {"type": "array", "items": {"type": "string"}}},
                        {"name": "Authorization", "in": "header", "schema": {"type": "string"}},
                        {"name": "X-Trace", "in": "header", "schema": {"type": "string"}},
                    ],
                },
                "post": {"operationId": "items/add", "tags": ["items"], "requestBody": taken, "responses": answer},
            },
            "/items/{item}": {
                "parameters": [key],
                "get": {"operationId": "items/get", "tags": ["items"], "responses": answer},
                "delete": {"operationId": "items/remove", "tags": ["items"], "responses": nothing},
            },
            "/items/{item}/picture": {
                "parameters": [key],
                "get": {"operationId": "pictures/get", "tags": ["pictures"], "responses": nothing},
            },
        },
        "components": {"schemas": {"Item": ITEM}},
    } | changes  # fmt: skip


def tool(description: dict[str, Any], name: str) -> Entry:
    """An operation as it is when it has been approved."""
    document = read_description(json.dumps(description).encode())
    drawn = draw(document, operations(document))
    raw = next(one.raw for one in drawn.definitions if one.name == name).encode()
    return Entry(
        server="todo", kind=Kind.TOOL, name=name, exposed=f"todo_{name}", object=f"todo.{name}",
        digest=sha256(raw).hexdigest(), raw=raw, shown=raw, shown_legacy=raw,
    )  # fmt: skip


def operation(path: str, *parameters: dict[str, Any], method: str = "get", **more: Any) -> dict[str, Any]:
    """A description of one operation, called `op`, with these parameters."""
    own = {"operationId": "op", "parameters": list(parameters), "responses": {"200": {"description": "ok"}}, **more}
    return {"openapi": "3.1.0", "info": {"title": "T", "version": "1"}, "paths": {path: {method: own}}}


@dataclass
class Seen:
    """A request as it came in."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for given, value in self.headers if given.lower() == name.lower()]


@dataclass
class Answer:
    body: bytes = b"{}"
    status: int = 200
    kind: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Api:
    """`answers` maps "METHOD /path" (without a query) to what is answered; everything else gets 404."""

    description: dict[str, Any] | bytes = field(default_factory=described)
    etag: str = ""
    answers: dict[str, Answer] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    base: str = ""

    @property
    def url(self) -> str:
        return f"{self.base}/openapi.json"

    @property
    def calls(self) -> list[Seen]:
        return [one for one in self.seen if not one.target.startswith("/openapi.json")]

    def answer(self, seen: Seen) -> Answer:
        self.seen.append(seen)
        if seen.target.partition("?")[0] == "/openapi.json":
            return self._described(seen)
        return self.answers.get(f"{seen.method} {seen.target.partition('?')[0]}", Answer(b"{}", 404))

    def _described(self, seen: Seen) -> Answer:
        if self.etag and seen.all("if-none-match") == [self.etag]:
            return Answer(b"", 304)
        text = self.description if isinstance(self.description, bytes) else json.dumps(self.description).encode()
        return Answer(text, headers={"ETag": self.etag} if self.etag else {})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def handle_one(self) -> None:
        api: Api = self.server.api  # type: ignore[attr-defined]
        body = self.rfile.read(int(self.headers.get("content-length", "0")))
        answer = api.answer(Seen(self.command, self.path, list(self.headers.items()), body))
        self.send_response(answer.status)
        if answer.kind:
            self.send_header("Content-Type", answer.kind)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_one  # noqa: N815  # the library's names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False


@contextmanager
def serving(api: Api, tls: ssl.SSLContext | None = None) -> Iterator[Api]:
    """While the block runs, at `api.base`."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.api = api  # type: ignore[attr-defined]
    api.base = f"http://127.0.0.1:{server.server_port}"
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
        api.base = f"https://localhost:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
