"""The suite's server behind the whole gateway, and an SDK client before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.upstream import AskRefused

if TYPE_CHECKING:
    from pathlib import Path


class Nobody:
    """Nobody hears what a server says before its answer."""

    async def notify(self, method: str, params: bytes) -> None:
        """Goes nowhere."""

    async def request(self, method: str, params: bytes) -> bytes:
        raise AskRefused(b'{"code":-32601,"message":"nobody can be asked"}')

    def refuses(self, method: str, params: bytes) -> str:
        return "nobody can be asked"


def run(data: Path, url: str, scenario: str) -> None:
    raise NotImplementedError(data, url, scenario)
