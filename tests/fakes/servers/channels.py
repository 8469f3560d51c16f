"""Servers that are processes of a gateway's worker, as a test declares them; the process is `piped.py`."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.egress.reply import Terms
from gateway.rendezvous.memory import MemoryRendezvous
from gateway.upstream import Ask
from gateway.upstream.channels.declared import DeclaredServer
from gateway.upstream.channels.stdio import StdioPlaces
from gateway.upstream.connections import Servers
from registry.catalogue import Upstream
from registry.secrets.vault import Vault
from registry.tables import Auth, Era, Transport
from tests.fakes.servers.raw import principal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from gateway.upstream import Answer

FAKE = Path(__file__).with_name("piped.py")
MIB = 1024 * 1024
PYTHON = Path(sys.executable).resolve()
SEEN = (PYTHON.parents[1], FAKE.parent)  # what the fake needs to be there


class Processes:
    """A worker's servers that are processes."""

    def __init__(self, servers: Servers, upstream: Upstream) -> None:
        self.servers = servers
        self.upstream = upstream

    async def call(self, name: str, who: str | None = "ann", down: Any = None, **arguments: Any) -> str:
        ask = call(name, who, **arguments)
        answer = await self.servers.send(self.upstream, ask, down, None)
        return text_of(answer)

    def engine(self) -> Any:
        return self.servers._engines[Transport.STDIO]

    async def rest(self) -> None:
        """As if nobody had called for a while."""
        for _, talk in self.engine()._opened._talks.values():
            talk.used -= 1e6
        await self.engine().sweep()


def call(name: str, who: str | None = "ann", **arguments: Any) -> Ask:
    params = {"name": json.dumps(name).encode(), "arguments": json.dumps(arguments).encode()}
    return Ask(method="tools/call", name=name, params=params, principal=principal(who) if who else None)


def text_of(answer: Answer) -> str:
    assert answer.result, answer.error
    text: str = json.loads(answer.result)["content"][0]["text"]
    return text


def declared(**changes: Any) -> DeclaredServer:
    flags = changes.pop("flags", ())
    given: dict[str, Any] = {"slug": "piped", "command": (str(PYTHON), str(FAKE), *flags), "read": SEEN}
    return DeclaredServer(**(given | changes))


def upstream_of(one: DeclaredServer, era: Era = Era.LEGACY) -> Upstream:
    return Upstream(
        slug=one.slug,
        title="Piped",
        url=f"stdio:{one.slug}",
        scheme="stdio",
        host=one.slug,
        port=0,
        target="",
        era=era,
        protocol_version="",
        auth=Auth.NONE,
        transport=Transport.STDIO,
        capabilities={"tools": {"listChanged": True}},
        command=one.digest(),
    )


@asynccontextmanager
async def workers(data: Path) -> AsyncIterator[Callable[..., Processes]]:
    """Makes workers with one server each; what is given changes how it is declared."""
    rendezvous = MemoryRendezvous()
    made: list[Servers] = []

    def make(era: Era = Era.LEGACY, terms: Terms | None = None, **changes: Any) -> Processes:
        one = declared(**changes)
        servers = Servers(
            Vault({"1": b"k" * 32}),
            rendezvous,
            terms or Terms(10.0, 20.0, MIB),
            16 * MIB,
            processes=StdioPlaces([one], data, MIB),
        )
        made.append(servers)
        return Processes(servers, upstream_of(one, era))

    try:
        yield make
    finally:
        for one in made:
            await one.close()
        await rendezvous.close()
    assert [one.in_flight for one in made] == [0] * len(made)


async def until(holds: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come to hold in time"
        await asyncio.sleep(0.02)


def descendants(pid: int) -> list[int]:
    """All of them; a thread that ends while we look has no children any more."""
    found = [pid]
    for one in found:
        found += children(one)
    return found[1:]


def children(pid: int) -> list[int]:
    found: list[int] = []
    with suppress(FileNotFoundError, ProcessLookupError):
        for file in Path(f"/proc/{pid}/task").glob("*/children"):
            with suppress(FileNotFoundError, ProcessLookupError):
                found += map(int, file.read_text().split())
    return found


def alive(pids: Iterable[int]) -> list[int]:
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]
