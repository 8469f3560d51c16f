"""T-72: a client that asks for large answers and reads none of them cannot fill the memory."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

from gateway.edge.connection import EdgeProtocol
from gateway.edge.unread import Unread
from gateway.upstream import Answer
from tests.fakes.deadlines import within
from tests.fakes.door import eventually, modern, open_door

if TYPE_CHECKING:
    import pytest

MIB = 1024 * 1024
LARGE = b'{"resultType":"complete","content":[],"x":"%s"}' % (b"a" * 8 * MIB)
CALL = {"name": "notes_add", "arguments": {}}


async def large(*_: object) -> Answer:
    return Answer(result=LARGE)


def asked(door, buffer: int = 4096) -> socket.socket:
    """A client that has asked and does not read."""
    headers, body = modern(door.token(), "tools/call", CALL)
    host = door.base.removeprefix("http://")
    lines = ["POST /mcp HTTP/1.1", f"Host: {host}", f"Content-Length: {len(body)}", *(f"{n}: {v}" for n, v in headers)]
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    client.connect(("127.0.0.1", door.port))
    client.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
    return client


async def test_t_72_answers_that_nobody_reads_are_bounded_all_together(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unread = Unread(20 * MIB)
    monkeypatch.setattr(EdgeProtocol, "unread", unread)
    async with open_door(tmp_path) as door:
        door.upstreams.script = large
        clients = []
        for number in range(1, 7):
            clients.append(asked(door))
            await eventually(lambda number=number: len(door.upstreams.asks) == number)
            await eventually(lambda: unread.size > 0)
            assert unread.size <= 20 * MIB
        assert unread.size > 4 * MIB
        for client in clients:
            client.close()
        await eventually(lambda: unread.size == 0)


class Wire:
    """A transport with so many bytes unread."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.aborted = False

    def get_write_buffer_size(self) -> int:
        return self.size

    def abort(self) -> None:
        self.aborted = True


def test_t_72_of_equal_ones_the_oldest_is_let_go_first() -> None:
    unread = Unread(10)
    first, second, third = Wire(4), Wire(4), Wire(4)
    for wire in (first, second, third):
        unread.add(wire)
    assert [wire.aborted for wire in (first, second, third)] == [True, False, False]
    unread.drop(second)
    unread.drop(second)
    assert unread.size == 4


def test_t_72_who_is_merely_slow_is_kept() -> None:
    unread, slow, greedy, last = Unread(10), Wire(1), Wire(8), Wire(4)
    for wire in (slow, greedy, last):
        unread.add(wire)
    assert [wire.aborted for wire in (slow, greedy, last)] == [False, True, False]


def test_t_72_one_large_answer_alone_is_let_through() -> None:
    unread, alone = Unread(10), Wire(20)
    unread.add(alone)
    assert not alone.aborted


async def test_t_72_who_reads_slowly_but_steadily_gets_its_answer(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.edge.patience.WRITE_DEADLINE", 1.0)
    async with open_door(tmp_path) as door:
        door.upstreams.script = large
        loop, came = asyncio.get_running_loop(), 0
        with asked(door, 256 * 1024) as client:
            client.setblocking(False)
            while came < len(LARGE):
                piece = await within(loop.sock_recv(client, 128 * 1024), 60)
                assert piece, "the connection was closed"
                came += len(piece)
                await asyncio.sleep(0.03)  # slower than the deadline for the whole, faster than the least


async def test_t_72_who_reads_a_byte_now_and_then_does_not(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.edge.patience.WRITE_DEADLINE", 0.2)
    unread = Unread()
    monkeypatch.setattr(EdgeProtocol, "unread", unread)
    async with open_door(tmp_path) as door:
        door.upstreams.script = large
        with asked(door) as client:
            await eventually(lambda: unread.size > 0)
            client.setblocking(False)
            for _ in range(100):
                await asyncio.get_running_loop().sock_recv(client, 1)
                await asyncio.sleep(0.02)
                if unread.size == 0:
                    break
            assert unread.size == 0
