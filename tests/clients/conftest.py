"""One gateway for all clients, with the demo's two servers behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.fakes.gateway import Gateway
from tests.fakes.processes import running

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Portal:
    """The gateway, and somebody who may use all of it."""

    gateway: Gateway
    handle: str
    password: str

    @property
    def url(self) -> str:
        return f"{self.gateway.url}/mcp"

    def token(self, path: str = "/mcp") -> str:
        return self.gateway.token(self.handle, path)


@pytest.fixture(scope="session")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    with (
        running("examples/servers/notes.py") as notes,
        running("examples/servers/clock.py") as clock,
        Gateway(tmp_path_factory.mktemp("gateway")) as gateway,
    ):
        password = gateway.add_user("alice")
        for slug, url in (("notes", notes), ("clock", clock)):
            gateway.add_server(slug, url)
            gateway.allow("user:alice", f"{slug}.*")
        yield Portal(gateway, "alice", password)
