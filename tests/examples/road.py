"""The road between an agent and the door: it keeps what passed, and is bad where a test asks for it.

It stands at the door's public address, so that the agents know nothing of it.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

import httpx2

if TYPE_CHECKING:
    from collections.abc import Callable

TOKENS = "/oauth/token"
HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "keep-alive", "date", "server"}


@dataclass
class Passing:
    """A request on its way; what is changed in `headers` is changed for the door."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Instead:
    """An answer that is not the door's."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)


class Road:
    """`with Road() as road: road.leads_to = port`; `passed` is every request, with the status that it was answered."""

    def __init__(self) -> None:
        self.leads_to = 0
        self.passed: list[tuple[str, int]] = []
        self.token_life: int | None = None  # what the agent is told, if not the truth
        self._troubles: list[tuple[str, int, Callable[[Passing], Instead | None]]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"road": self}))
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def clear(self) -> None:
        """As good a road as any, on which nobody has been."""
        self.passed.clear()
        self._troubles.clear()
        self.token_life = None

    def trouble(self, path: str, nth: int, what: Callable[[Passing], Instead | None]) -> None:
        """Let `what` have a look at the `nth` request to `path` from now on; 0 means each."""
        self._troubles.append((path, nth, what))

    def count(self, path: str) -> int:
        return sum(path == each for each, _ in self.passed)

    def met(self, passing: Passing) -> Instead | None:
        number = self.count(passing.path) + 1
        for path, nth, what in self._troubles:
            if path == passing.path and nth in {0, number} and (instead := what(passing)) is not None:
                return instead
        return None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    road: Road

    def log_message(self, *_: object) -> None: ...

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        passing = Passing(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
        instead = self.road.met(passing)
        if instead is None:
            self._pass_on(passing)
        else:
            self._answer(instead.status, instead.headers, b"")

    do_GET = do_POST  # noqa: N815 - the name that the library looks for

    def _pass_on(self, passing: Passing) -> None:
        url = f"http://127.0.0.1:{self.road.leads_to}{passing.path}"
        answer = httpx2.request(self.command, url, headers=passing.headers, content=passing.body, timeout=60)
        headers = {name: value for name, value in answer.headers.items() if name.lower() not in HOP_BY_HOP}
        self._answer(answer.status_code, headers, self._told(passing, answer))

    def _told(self, passing: Passing, answer: httpx2.Response) -> bytes:
        if passing.path != TOKENS or self.road.token_life is None or answer.is_error:
            return answer.content
        said: dict[str, Any] = answer.json()
        return json.dumps(said | {"expires_in": self.road.token_life}).encode()

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.road.passed.append((self.path, status))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
