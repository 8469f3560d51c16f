"""What a call need not do again: connect, and greet a legacy server. Counted at the server."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from gateway.upstream import Ask
from registry.catalogue import Credential
from registry.tables import Auth, Era
from tests.fakes.servers.raw import Asked, http, principal, raw_server, result

if TYPE_CHECKING:
    from gateway.upstream.connections import Servers
    from registry.catalogue import Upstream
    from tests.fakes.servers.raw import RawServer

PEOPLE = [f"p{number}" for number in range(20)]
ROUNDS = 60  # calls of each
RENEWED_EVERY = 10  # of them, a token is a new one
AT_ONCE = 8


class Counting:
    """A server of either era that knows who called with which token, and in which session."""

    def __init__(self) -> None:
        self.sessions = itertools.count(1)
        self.whose: dict[str, str] = {}  # session → person
        self.strangers: list[str] = []
        self.tokens: Counter[str] = Counter()

    async def __call__(self, asked: Asked, writer: asyncio.StreamWriter) -> bytes:
        person, _, _ = asked.headers["authorization"].removeprefix("Bearer ").partition("/")
        session = asked.headers.get("mcp-session-id", "")
        if asked.method == "initialize":
            session = f"s{next(self.sessions)}"
            self.whose[session] = person
            about = {"capabilities": {}, "serverInfo": {"name": "s", "version": "1"}}
            value = {"protocolVersion": "2025-11-25", **about}
            return http(result(asked, value), extra=f"Mcp-Session-Id: {session}\r\n")
        if session and self.whose[session] != person:
            self.strangers.append(f"{person} in the session of {self.whose[session]}")
        if asked.method != "tools/call":
            return http(b"", "202 Accepted")
        self.tokens[asked.headers["authorization"]] += 1
        return http(result(asked))


def held(server: RawServer, person: str, version: int) -> Credential:
    origin = f"http://127.0.0.1:{server.port}"
    token = f"Bearer {person}/{version}".encode()
    return Credential("raw", origin, b"Authorization", token, subject=person, account=f"account of {person}")


async def one_call(servers: Servers, upstream: Upstream, credential: Credential, person: str, caller: object) -> None:
    ask = Ask(method="tools/call", name="t", params={"name": b'"t"'}, principal=principal(person))
    assert (await servers.send(upstream, ask, caller, credential)).result  # type: ignore[arg-type]


@pytest.mark.parametrize("era", list(Era))
async def test_twenty_people_on_two_workers_greet_once_each_though_their_tokens_are_renewed(make_servers, caller, era):
    workers = [make_servers(), make_servers()]
    counting = Counting()
    async with raw_server(counting) as server:
        upstream = server.upstream(era, auth=Auth.OAUTH_PERSON)
        turn = asyncio.Semaphore(AT_ONCE)

        async def live(number: int, person: str) -> None:
            """Now at one worker, now at the other, with a new token every few calls."""
            for step in range(ROUNDS):
                async with turn:
                    worker = workers[(number + step) % 2]
                    await one_call(worker, upstream, held(server, person, step // RENEWED_EVERY), person, caller)

        await asyncio.gather(*(live(number, person) for number, person in enumerate(PEOPLE)))
        calls = len(server.asked_for("tools/call"))
        connections = server.connections
    assert calls == len(PEOPLE) * ROUNDS
    assert counting.strangers == []
    assert set(counting.tokens.values()) == {RENEWED_EVERY}
    assert sorted(counting.whose.values()) == (sorted(PEOPLE) if era is Era.LEGACY else [])
    assert connections <= len(workers) * AT_ONCE


@pytest.mark.parametrize("era", list(Era))
async def test_another_account_of_the_same_person_is_another_session(servers, caller, era):
    counting = Counting()
    async with raw_server(counting) as server:
        upstream = server.upstream(era, auth=Auth.OAUTH_PERSON)
        for account in ("one", "other", "one"):
            credential = Credential(
                "raw", f"http://127.0.0.1:{server.port}", b"Authorization", b"Bearer p/1", subject="p", account=account
            )
            await one_call(servers, upstream, credential, "p", caller)
        assert server.connections == 1
    assert len(counting.whose) == (2 if era is Era.LEGACY else 0)
