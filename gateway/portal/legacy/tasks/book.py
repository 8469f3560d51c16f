"""Which tasks somebody has begun, for `tasks/list`, and results of servers that answered at once.

Both lie in the rendezvous, sealed, under a name that says nothing, and are as much as one client may have there: what
is older than that is not listed, and what was kept for it is gone. A task is good without its line here.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from os import urandom
from typing import TYPE_CHECKING, Final

import msgspec

from gateway.portal import handles
from gateway.problems import unavailable
from gateway.rendezvous import RendezvousDown
from registry.errors import SecretRefused

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.portal.exchange import Exchange

MOST: Final = 100  # tasks that a client can list
KEPT_MOST: Final = 8 * 1024 * 1024  # bytes of results of one client
RESULT_MOST: Final = 1024 * 1024  # bytes of one result
KEPT_LIFE_MS: Final = 3600 * 1000  # of a result, unless the client wants it for a shorter time
ALONE: Final = 2.0  # seconds for which one process may hold the list, and another waits for it
PAUSE: Final = 0.02


class Line(msgspec.Struct, array_like=True):
    """One task, and the session that began it. `number` grows with each."""

    number: int
    ident: str
    until: int
    session: str
    kept: str = ""
    size: int = 0


class Kept(msgspec.Struct, array_like=True):
    """The result of a call that its server ran at once, and when."""

    result: bytes
    at: str


_encode: Final = msgspec.msgpack.Encoder().encode
_lines: Final = msgspec.msgpack.Decoder(list[Line])
_kept: Final = msgspec.msgpack.Decoder(Kept)


async def lines(exchange: Exchange) -> list[Line]:
    """The tasks of this client that have not ended with their time, oldest first."""
    try:
        return await _read(exchange)
    except RendezvousDown as error:
        raise unavailable("The list of tasks cannot be looked up; try again.") from error


async def enter(exchange: Exchange, ident: str, until: int, kept: str = "", size: int = 0) -> None:
    """Write down one more."""
    try:
        async with _alone(exchange):
            known = await _read(exchange)
            session = exchange.session.id if exchange.session is not None else ""
            number = known[-1].number + 1 if known else 1
            left, gone = _room([*known, Line(number, ident, until, session, kept, size)])
            await _write(exchange, left)
            for line in gone:
                if line.kept:
                    await exchange.world.rendezvous.take(_kept_at(line.kept))
    except RendezvousDown as error:
        raise unavailable("The task cannot be written down; whatever was begun goes on.") from error


async def keep(exchange: Exchange, result: bytes, at: str, ttl_ms: int) -> str:
    """Lay a result by; gives the name that it is found under."""
    name = urandom(16).hex()
    sealed = exchange.world.office.vault.wrap(_context(exchange, name), _encode(Kept(result, at)))
    try:
        await exchange.world.rendezvous.put(_kept_at(name), sealed, max(1.0, ttl_ms / 1000 + handles.GRACE))
    except RendezvousDown as error:
        raise unavailable("The result cannot be kept; the call was carried out.") from error
    return name


async def kept(exchange: Exchange, name: str) -> Kept | None:
    """What lies there, if it is this client's and not too old."""
    try:
        sealed = await exchange.world.rendezvous.get(_kept_at(name))
        if sealed is None:
            return None
        return _kept.decode(exchange.world.office.vault.unwrap(_context(exchange, name), sealed))
    except RendezvousDown as error:
        raise unavailable("The task cannot be looked up; try again.") from error
    except SecretRefused:
        return None


def _room(all_lines: list[Line]) -> tuple[list[Line], list[Line]]:
    """The newest that there is room for, and those that there is none for."""
    left, size = list[Line](), 0
    for line in reversed(all_lines):
        size += line.size
        if len(left) >= MOST or size > KEPT_MOST:
            break
        left.insert(0, line)
    return left, all_lines[: len(all_lines) - len(left)]


@asynccontextmanager
async def _alone(exchange: Exchange) -> AsyncIterator[None]:
    """Nobody else changes the list meanwhile, unless they have waited for longer than it could take."""
    rendezvous, key = exchange.world.rendezvous, f"tasks-held/{handles.owner(exchange)}"
    end = _now() + ALONE
    while not await rendezvous.add(key, b"1", ALONE) and _now() < end:  # noqa: ASYNC110 - another process
        await asyncio.sleep(PAUSE)
    try:
        yield
    finally:
        await rendezvous.take(key)


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _read(exchange: Exchange) -> list[Line]:
    sealed = await exchange.world.rendezvous.get(_at(exchange))
    if sealed is None:
        return []
    try:
        known = _lines.decode(exchange.world.office.vault.unwrap(_context(exchange, ""), sealed))
    except (SecretRefused, msgspec.DecodeError):
        return []
    return [line for line in known if line.until > time.time()]


async def _write(exchange: Exchange, left: list[Line]) -> None:
    sealed = exchange.world.office.vault.wrap(_context(exchange, ""), _encode(left))
    life = max(line.until for line in left) - time.time()
    await exchange.world.rendezvous.put(_at(exchange), sealed, max(1.0, life))


def _context(exchange: Exchange, name: str) -> bytes:
    return f"tasks/{handles.owner(exchange)}/{name}".encode()


def _at(exchange: Exchange) -> str:
    return f"tasks/{handles.owner(exchange)}"


def _kept_at(name: str) -> str:
    return f"task-kept/{name}"
