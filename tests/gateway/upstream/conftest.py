from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import uvloop

from gateway.egress.reply import Terms
from gateway.rendezvous.memory import MemoryRendezvous
from gateway.upstream import AskRefused
from gateway.upstream.connections import Servers
from registry.secrets.vault import Vault
from tests.fakes.servers.raw import principal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from authz.principals import Principal

MIB = 1024 * 1024


def pytest_asyncio_loop_factories(config, item):
    """The loop that serves; the hostile tests run on the other one."""
    return {"uvloop": uvloop.new_event_loop}


@dataclass
class Caller:
    """Hears what a server says, and answers what it asks with `reply` or refuses."""

    reply: bytes | None = None
    heard: list[tuple[str, bytes]] = field(default_factory=list)
    questions: list[tuple[str, bytes]] = field(default_factory=list)

    async def notify(self, method: str, params: bytes) -> None:
        self.heard.append((method, params))

    def refuses(self, method: str, params: bytes) -> str:
        return ""

    async def request(self, method: str, params: bytes) -> bytes:
        self.questions.append((method, params))
        if self.reply is None:
            raise AskRefused(b'{"code":-1,"message":"declined"}')
        return self.reply


@pytest.fixture
def caller() -> Caller:
    return Caller()


@pytest.fixture
def make_caller() -> type[Caller]:
    return Caller


@pytest.fixture
async def make_servers() -> AsyncIterator[Callable[..., Servers]]:
    """Processes of the gateway, as far as servers see them; by default they share vault and rendezvous."""
    vault = Vault({"1": os.urandom(32)})
    rendezvous = MemoryRendezvous()
    made: list[Servers] = []

    def make(**changes: Any) -> Servers:
        terms = Terms(changes.get("silence", 5.0), changes.get("total", 10.0), changes.get("size", MIB))
        one = Servers(vault, rendezvous, terms, changes.get("in_flight", 16 * MIB))
        made.append(one)
        return one

    yield make
    for one in made:
        await one.close()
        assert one.in_flight == 0
    await rendezvous.close()


@pytest.fixture
async def servers(make_servers: Callable[..., Servers]) -> Servers:
    return make_servers()


@pytest.fixture
def person() -> Callable[..., Principal]:
    return principal
