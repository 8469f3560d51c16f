"""Keeping the process that copies the journal into the search index, and what it says of itself."""

from __future__ import annotations

import asyncio
import logging
import sys
from asyncio.subprocess import PIPE
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

import gateway
from gateway.journal.copier import Orders, Progress

if TYPE_CHECKING:
    from asyncio.subprocess import Process

    from gateway.world import World

PATIENCE: Final = 5.0  # seconds that it gets to finish a batch
_ROOT: Final = str(Path(gateway.__file__).parents[1])
_PROGRAM: Final = f"""\
import signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal tells all of us, and we tell it
sys.path.append({_ROOT!r})
from gateway.journal.copier import main
main()"""  # in our session: the kernel gives each its share of a core, and one of its own would not yield to ours

log = logging.getLogger("ostiary")


async def index_forever(world: World) -> None:
    """Until it ends; whoever called it does so again."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-P", "-c", _PROGRAM, stdin=PIPE, stdout=PIPE)
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(msgspec.json.encode(_orders(world)) + b"\n")
        async for line in process.stdout:
            _heard(world, msgspec.json.decode(line, type=Progress))
        status = await process.wait()
        log.warning("the process that copies the journal ended with status %s and is started again", status)
    finally:
        await _end(process)


def _orders(world: World) -> Orders:
    database = world.office.database
    return Orders(str(world.settings.journal.absolute()), database.is_postgresql, database.address())


def _heard(world: World, progress: Progress) -> None:
    world.index.waiting, world.index.trouble = progress.waiting, progress.trouble
    world.telemetry.waiting(progress.waiting)


async def _end(process: Process) -> None:
    """Its input ends, so it does; whatever it was in the middle of is undone or whole."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        async with asyncio.timeout(PATIENCE):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
