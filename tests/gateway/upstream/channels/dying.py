"""Begins a stubborn server as a gateway does, prints the ids of its processes, and waits to be killed."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[4]))

from gateway.egress.reply import Terms  # noqa: E402  # the path comes first
from gateway.rendezvous.memory import MemoryRendezvous  # noqa: E402
from gateway.upstream.channels.stdio import StdioPlaces  # noqa: E402
from gateway.upstream.connections import Servers  # noqa: E402
from registry.vault import Vault  # noqa: E402
from tests.gateway.upstream.channels.conftest import MIB, declared, descendants, upstream_of  # noqa: E402


async def main() -> None:
    one = declared(flags=("--stubborn",), sandbox="off")
    places = StdioPlaces([one], Path(sys.argv[1]), MIB)
    rendezvous = MemoryRendezvous()
    servers = Servers(Vault({"1": b"k" * 32}), rendezvous, Terms(10.0, 20.0, MIB), 16 * MIB, processes=places)
    await servers.probe(upstream_of(one), None)
    print(*descendants(os.getpid()), flush=True)
    await asyncio.sleep(60)


asyncio.run(main())
