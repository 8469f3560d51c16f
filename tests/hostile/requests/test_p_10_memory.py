"""P-10, T-72: clients that ask for large answers and read none of them leave the process below 512 MiB."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.fakes.gateway import Gateway
from tests.fakes.modern import headers, meta

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB = 1024 * 1024
CLIENTS = 40
PROMISED = 512  # MiB
LARGE = b'{"resultType":"complete","content":[{"type":"text","text":"%s"}]}' % (b"a" * 8 * MIB)
CACHED = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
ABOUT = {
    "server/discover": {
        **CACHED,
        "supportedVersions": ["2026-07-28"],
        "capabilities": {"tools": {}},
        "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "large", "version": "1"}},
    },
    "tools/list": {**CACHED, "tools": [{"name": "much", "description": "Much.", "inputSchema": {"type": "object"}}]},
}


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            size = next(int(line.split(":")[1]) for line in head.split("\r\n") if line.startswith("content-length"))
            asked = json.loads(await reader.readexactly(size))
            about = ABOUT.get(asked["method"])
            result = LARGE if about is None else json.dumps(about).encode()
            body = b'{"jsonrpc":"2.0","id":%d,"result":%s}' % (asked["id"], result)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body))
            writer.write(body)
            await writer.drain()
    writer.close()


@pytest.fixture
def server() -> Iterator[str]:
    """A server whose tool answers with 8 MiB."""
    loop = asyncio.new_event_loop()
    listening = loop.run_until_complete(asyncio.start_server(answer, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/mcp"
    loop.call_soon_threadsafe(listening.close)
    for task in asyncio.all_tasks(loop):
        loop.call_soon_threadsafe(task.cancel)
    loop.call_soon_threadsafe(loop.call_later, 0.2, loop.stop)
    thread.join()
    loop.close()


def request(gateway: Gateway, token: str) -> bytes:
    params = {"name": "large_much", "arguments": {}}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {**params, "_meta": meta()}}
    body = json.dumps(message).encode()
    lines = {
        "Host": f"127.0.0.1:{gateway.port}",
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        **headers("tools/call", token, **params),
    }
    return ("POST /mcp HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines.items()) + "\r\n").encode() + body


def largest(pid: int) -> int:
    """The most memory, in MiB, that the process has ever had resident."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) // 1024


def test_t_72_forty_clients_that_read_nothing_leave_the_process_below_512_mib(tmp_path: Path, server: str) -> None:
    with Gateway(tmp_path / "data") as gateway, contextlib.ExitStack() as stack:
        gateway.add_server("large", server)
        gateway.add_user("ann")
        gateway.allow("user:ann", "large.*")
        asked = request(gateway, gateway.token("ann", "/mcp"))
        for _ in range(CLIENTS):
            client = stack.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", gateway.port))
            client.sendall(asked)
        with socket.create_connection(("127.0.0.1", gateway.port), timeout=20) as live:
            live.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: close\r\n\r\n" % gateway.port)
            assert live.recv(64).startswith(b"HTTP/1.1 200")
        settle(gateway)
        assert largest(gateway.pid) < PROMISED


def settle(gateway: Gateway) -> None:
    """Until the process has taken nothing more for a second; at most ten."""
    end, quiet, most = time.monotonic() + 10, time.monotonic() + 1, 0
    while time.monotonic() < min(end, quiet):
        now = largest(gateway.pid)
        if now > most:
            most, quiet = now, time.monotonic() + 1
        time.sleep(0.05)
