"""Names that lead where a test wants, as the event loop resolves them."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def resolving(monkeypatch: pytest.MonkeyPatch, **names: list[list[str]]) -> None:
    """`files="..."` is what files.example leads to, look after look; a number is what it says."""
    looks = {f"{name}.example": iter(answers) for name, answers in names.items()}

    async def resolve(host: object, port: int, **_more: object) -> list[tuple]:
        host = host.decode() if isinstance(host, bytes) else str(host)
        found = next(looks[host]) if host in looks else [host]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port)) for ip in found]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
