"""Begins a stubborn server as a gateway does, prints the ids of its processes, and waits to be killed."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from gateway.egress.reply import Terms
from gateway.rendezvous.memory import MemoryRendezvous
from gateway.upstream.channels.stdio import StdioPlaces
from gateway.upstream.connections import Servers
from registry.secrets.vault import Vault
from tests.fakes.servers.channels import MIB, declared, descendants, upstream_of


async def main() -> None:
    one = declared(flags=("--stubborn",), sandbox="off")
    places = StdioPlaces([one], Path(sys.argv[1]), MIB)
    rendezvous = MemoryRendezvous()
    servers = Servers(Vault({"1": b"k" * 32}), rendezvous, Terms(10.0, 20.0, MIB), 16 * MIB, processes=places)
    await servers.probe(upstream_of(one), None)
    print(*descendants(os.getpid()), flush=True)
    await asyncio.sleep(60)


if __name__ == "__main__":
    asyncio.run(main())
