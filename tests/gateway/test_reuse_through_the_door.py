"""The whole gateway with two workers: each person has a token, and no call greets or connects again."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import time
from collections import Counter
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from authz.people.accounts import add_person
from authz.policy.rules import Draft, write_rule
from authz.tables import Client
from authz.tokens.keys import load_keys
from authz.tokens.minting import Minting, mint
from gateway.assembly import open_office, remembered
from gateway.settings import Settings
from registry.database import Concern
from tests.fakes.door import modern
from tests.fakes.gateway import Gateway
from tests.fakes.servers.raw import Asked, http, raw_server, result
from tests.hostile.revocation.test_t_84_two_workers import to_each_worker

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fakes.door import Line

PEOPLE = 10
CALLS = 200  # of each


class Counting:
    """A legacy server that knows who greeted it and who called, by the tokens that we mint for it."""

    def __init__(self) -> None:
        self.numbers = itertools.count(1)
        self.greeted: Counter[str] = Counter()
        self.called: Counter[str] = Counter()
        self.whose: dict[str, str] = {}
        self.strangers: set[str] = set()

    async def __call__(self, asked: Asked, writer: asyncio.StreamWriter) -> bytes:
        who, session = _subject(asked.headers["authorization"]), asked.headers.get("mcp-session-id", "")
        if asked.method == "initialize":
            return self._greet(asked, who)
        if session and self.whose[session] != who:
            self.strangers.add(session)
        if asked.method == "tools/call":
            self.called[who] += 1
            return http(result(asked, {"content": [{"type": "text", "text": who}]}))
        if asked.method == "tools/list":
            return http(result(asked, {"tools": [{"name": "whoami", "inputSchema": {"type": "object"}}]}))
        if asked.method == "server/discover":
            return http(b"", "404 Not Found")
        return http(b"", "202 Accepted")

    def _greet(self, asked: Asked, who: str) -> bytes:
        session = f"s{next(self.numbers)}"
        self.whose[session] = who
        self.greeted[who] += 1
        about = {"capabilities": {"tools": {}}, "serverInfo": {"name": "old", "version": "1"}}
        extra = f"Mcp-Session-Id: {session}\r\n"
        return http(result(asked, {"protocolVersion": "2025-11-25", **about}), extra=extra)


def _subject(authorization: str) -> str:
    payload = authorization.split(".")[1]
    return str(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["sub"])


def people(gateway: Gateway) -> dict[str, str]:
    """By id, a token of each."""
    office = open_office(remembered(Settings(data=gateway.data)))
    now, tokens = time.time(), {}
    with office.database.change(Concern.PEOPLE, Concern.POLICY) as session:
        session.add(
            Client(id="app", name="An app", origin="registered", redirect_uris=[], grant_types=[], created_at=now)
        )
        for number in range(PEOPLE):
            person = add_person(session, f"p{number}", password_hash="")
            write_rule(session, Draft(subject=f"user:p{number}", object="old.*", action="*"), who="operator:x", now=now)
            tokens[person.id] = ""
    with office.database.read() as session:
        keys = load_keys(session, office.vault)
    for person_id in tokens:
        ask = Minting(
            issuer=gateway.url, subject=person_id, client="app", resource=f"{gateway.url}/mcp", scope="mcp", life=300
        )
        tokens[person_id] = mint(keys, ask).token
    office.close()
    return tokens


async def call(line: Line, person: str, token: str) -> None:
    got = await line.ask("POST", "/mcp", *modern(token, "tools/call", {"name": "old_whoami", "arguments": {}}))
    assert got.json["result"]["content"][0]["text"] == person


async def until_known(line: Line, person: str, token: str) -> None:
    """Until the worker at the other end has heard of who and what was just made."""
    end = time.monotonic() + 60
    while True:
        try:
            return await call(line, person, token)
        except (AssertionError, KeyError, ValueError):
            if time.monotonic() > end:
                raise
            await asyncio.sleep(0.1)


def writers(gateway: Gateway) -> set[str]:
    """The processes that calls passed through."""
    files = (gateway.data / "journal").glob("*.jsonl")
    return {file.name.partition(".")[0] for file in files if b'"call.intent"' in file.read_bytes()}


async def test_two_thousand_calls_of_ten_people_greet_a_server_ten_times(tmp_path: Path) -> None:
    counting = Counting()
    async with raw_server(counting) as server, AsyncExitStack() as stack:
        gateway = await asyncio.to_thread(stack.enter_context, Gateway(tmp_path / "data", "--workers", "2"))
        run: Any = lambda *words: asyncio.to_thread(gateway.run, "server", *words)  # noqa: E731
        await run("add", "old", server.url, "--allow-address", "--auth", "minted")
        await run("approve", "old", "--yes", "--accept-findings")
        tokens = await asyncio.to_thread(people, gateway)
        lines = [line for each in await stack.enter_async_context(to_each_worker(gateway)) for line in each]
        for line in lines:
            await until_known(line, *next(iter(tokens.items())))
        for person, token in tokens.items():  # one after the other: who comes first greets
            await call(lines[0], person, token)
        before, connections = Counter(counting.called), server.connections
        work = [(person, token) for _ in range(CALLS) for person, token in tokens.items()]
        turns = iter(work)

        async def busy(line: Line) -> None:
            for person, token in turns:
                await call(line, person, token)

        await asyncio.gather(*map(busy, lines))
        called = counting.called - before
        through = await asyncio.to_thread(writers, gateway)
        opened = server.connections - connections
    assert called == dict.fromkeys(tokens, CALLS)
    assert counting.strangers == set()
    assert {who: counting.greeted[who] for who in tokens} == dict.fromkeys(tokens, 1)
    assert len(through) == 2
    assert opened <= len(lines)
