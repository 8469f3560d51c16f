"""T-84: whatever is revoked at the command line ends in both workers of the demo as it starts, while it is in use."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import time
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

import pytest

from authz.clients.enrolling import add_agent
from authz.fingerprints import fingerprint
from authz.people.accounts import add_person
from authz.people.sessions import begin_session
from authz.policy.rules import Draft, write_rule
from authz.tables import Client
from authz.tokens.delegations import Draft as DelegationDraft
from authz.tokens.delegations import delegate
from authz.tokens.families import Allowance, first_refresh
from authz.tokens.keys import load_keys
from authz.tokens.minting import Minting, mint
from gateway.assembly import open_office, remembered
from gateway.settings import Settings
from registry.database import Concern
from tests.fakes.door import Legacy, Line, modern
from tests.fakes.gateway import Gateway

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator

PORTAL, MOUNT = "/mcp", "/servers/notes/mcp"
SOON: Final = 30.0  # seconds: P-4 promises five, and a test's machine may be busy
LINES: Final = 8  # to each worker
STARTED: Final = 60.0  # seconds until both serve


class Party:
    """Somebody of the demo, their agent and their client, who may use everything."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.office = open_office(remembered(Settings(data=gateway.data)))
        name, now = f"p{secrets.token_hex(4)}", time.time()
        with self.office.database.change(Concern.PEOPLE, Concern.POLICY) as session:
            self.person, self.agent = add_person(session, name, password_hash=""), add_agent(session, name)[0]
            self.client = Client(
                id=f"cl_{name}", name="An app", origin="registered", redirect_uris=[], grant_types=[], created_at=now
            )
            session.add(self.client)
            for subject in (f"user:{name}", f"agent:{name}"):
                for thing in ("notes.*", "clock.*"):
                    write_rule(session, Draft(subject=subject, object=thing, action="*"), who="operator:x", now=now)

    @property
    def labels(self) -> tuple[str, str]:
        return f"user:{self.person.handle}", f"agent:{self.agent.handle}"

    def token(self, path: str = PORTAL, subject: str = "", client: str = "", **more: Any) -> str:
        ask = Minting(
            issuer=self.gateway.url, subject=subject or self.person.id, client=client or self.client.id,
            resource=self.gateway.url + path, scope="mcp", life=300, **more,
        )  # fmt: skip
        with self.office.database.read() as session:
            minted = mint(load_keys(session, self.office.vault), ask)
        self.jti = minted.jti
        return minted.token

    def of_session(self) -> tuple[str, str]:
        """A token of a client that was connected in a browser, and the browser."""
        now, family = time.time(), secrets.token_urlsafe(16)
        with self.office.database.change() as session:
            cookie = begin_session(session, self.person, now=now, life=3600, amr="pwd", address="127.0.0.1")
            allowed = Allowance(
                client=self.client.id, person=self.person.id, resource=self.gateway.url + PORTAL, scope="mcp",
                auth_time=now, session=fingerprint(cookie),
            )  # fmt: skip
            first_refresh(session, allowed, family, now, 3600)
        return self.token(family=family), fingerprint(cookie)

    def of_delegation(self) -> tuple[str, str]:
        """A tool token by which the agent acts for the person, and the delegation that allows it."""
        draft = DelegationDraft(
            person=self.person, agent=self.agent, scopes=frozenset({"notes.*"}), expires_at=time.time() + 600
        )
        with self.office.database.change() as session:
            given = delegate(session, draft, who="user:x", now=time.time()).id
        agent = self.agent.id
        return self.token(client=agent, act=(agent,), delegation=given, token_use="tool"), given


KINDS: Final[dict[str, Callable[[Party], tuple[str, str]]]] = {  # somebody's token, and what `ostiary revoke` is told
    "person": lambda it: (it.token(), it.person.handle),
    "client": lambda it: (it.token(), it.client.id),
    "session": Party.of_session,
    "token": lambda it: (it.token(), it.jti),
    "agent": lambda it: (it.token(subject=it.agent.id, client=it.agent.id), it.agent.handle),
    "delegation": Party.of_delegation,
    "server": lambda it: (it.token(MOUNT), "notes"),
    "tool": lambda it: (it.token(), "notes.reindex"),
}
MEND: Final = {
    "server": ("server", "resume", "notes"),
    "tool": ("server", "approve", "notes", "--yes", "--accept-findings"),
}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Gateway(tmp_path_factory.mktemp("door") / "data", "--demo", "--workers", "2") as opened:
        yield opened


class Use:
    """What is done with one token over connections to one worker."""

    def __init__(self, token: str, path: str, lines: list[Line]) -> None:
        self.token, self.path = token, path
        self.stream, self.old_stream, self.call, self.again = lines

    async def begin(self, old: list[tuple[str, str]], name: str, arguments: dict[str, Any]) -> None:
        """Both kinds of stream are open, and a call has said how far it is."""
        await self.send(self.stream, "subscriptions/listen", {"notifications": {"toolsListChanged": True}})
        await self.old_stream.send("GET", self.path, old)
        asked = {"name": name, "arguments": arguments, "_meta": {"progressToken": "p"}}
        await self.send(self.call, "tools/call", asked)
        for line in (self.stream, self.old_stream, self.call):
            assert (await line.head()).status == 200
        assert (await self.stream.event())["method"] == "notifications/subscriptions/acknowledged"
        assert (await self.call.event())["method"] == "notifications/progress"

    async def send(self, line: Line, method: str, params: dict[str, Any]) -> None:
        await line.send("POST", self.path, *modern(self.token, method, params))

    async def listed(self, line: Line) -> set[str]:
        """The tools there are for this token; none when it is refused."""
        await self.send(line, "tools/list", {})
        got = await line.answer()
        return {tool["name"] for tool in got.json["result"]["tools"]} if got.status == 200 else set()

    async def answer(self) -> Any:
        """What the call ends with, after all that it says on its way."""
        while (event := await self.call.event()) is not None:
            if "id" in event:
                return event
        return None


async def until_over(line: Line) -> None:
    while await line.event() is not None:
        pass


async def until_told(line: Line) -> None:
    while (event := await line.event())["method"] != "notifications/tools/list_changed":
        assert event


@asynccontextmanager
async def to_each_worker(gateway: Gateway) -> AsyncIterator[list[list[Line]]]:
    """Connections to each worker: all others stand still while they are made, and nobody else accepts them."""
    workers = _workers(gateway)
    async with AsyncExitStack() as stack:
        yield [await _lines_to(gateway, stack, worker, workers) for worker in workers]


async def _lines_to(gateway: Gateway, stack: AsyncExitStack, worker: int, workers: list[int]) -> list[Line]:
    """Again if it takes long: this one has only just begun, or waits for something that a still one holds."""
    end = time.monotonic() + STARTED
    while time.monotonic() < end:
        with _standing_still(each for each in workers if each != worker), suppress(TimeoutError):
            async with asyncio.timeout(1):
                return [await _line_to(gateway, stack) for _ in range(LINES)]
        await asyncio.sleep(0.2)
    raise AssertionError("it does not serve")


async def _line_to(gateway: Gateway, stack: AsyncExitStack) -> Line:
    door: Any = SimpleNamespace(port=gateway.port, base=gateway.url)
    line = await stack.enter_async_context(Line(door))
    assert (await line.ask("GET", "/healthz", [])).status == 200
    return line


@contextmanager
def _standing_still(processes: Iterable[int]) -> Iterator[None]:
    with ExitStack() as stack:
        for pid in processes:
            os.kill(pid, signal.SIGSTOP)
            stack.callback(os.kill, pid, signal.SIGCONT)
            _wait_until_stopped(pid)
        yield


def _wait_until_stopped(pid: int) -> None:
    end = time.monotonic() + SOON
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        assert time.monotonic() < end, "it did not stop"
        time.sleep(0.001)


def _workers(gateway: Gateway) -> list[int]:
    """Those that were forked; the demo's servers are children too."""
    children = Path(f"/proc/{gateway.pid}/task/{gateway.pid}/children").read_text().split()
    return [int(pid) for pid in children if _command(int(pid)) == _command(gateway.pid)]


def _command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def outcomes(gateway: Gateway, *who: str) -> list[str]:
    """What the record says became of the calls of somebody."""
    files = sorted((gateway.data / "journal").rglob("*.jsonl"))
    lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    calls = {line["call"] for line in lines if line.get("event") == "call.intent" and line["who"] in who}
    return [line["outcome"] for line in lines if line.get("event") == "call.outcome" and line["call"] in calls]


async def work(use: Use, over: asyncio.Event) -> int:
    """Somebody who lists what there is, again and again, and is never refused; how often."""
    count = 0
    while not over.is_set():
        assert "clock_timer" in await use.listed(use.again)
        count += 1
        await asyncio.sleep(0.02)
    return count


async def until_listed(use: Use, tool: str, *, there: bool) -> None:
    while (tool in await use.listed(use.again)) is not there:  # noqa: ASYNC110 - it happens in another process
        await asyncio.sleep(0.05)


async def begin(gateway: Gateway, uses: list[Use], tool: str, arguments: dict[str, Any]) -> None:
    """In every worker: what the token is good for is known there, and streams and a call are open."""
    door: Any = SimpleNamespace(port=gateway.port, base=gateway.url, token=lambda *_: uses[0].token)
    async with asyncio.timeout(SOON):
        for use in uses:
            await until_listed(use, tool, there=True)
        async with Legacy(door, path=uses[0].path) as old:
            for use in uses:
                await use.begin(old.headers, tool, arguments)


async def ends(uses: list[Use], tool: str, ended: Callable[[Line], Awaitable[None]]) -> None:
    """The call is taken back, the streams hear of it, and another call is not taken."""
    async with asyncio.timeout(SOON):
        for use in uses:
            answer = await use.answer()
            assert "result" not in answer
            assert "while it was under way" in answer["error"]["message"]
            for line in (use.stream, use.old_stream):
                await ended(line)
            await until_listed(use, tool, there=False)


async def goes_on(uses: list[Use]) -> None:
    for use in uses:
        assert "seconds are over" in str((await use.answer())["result"])
        assert not use.stream.reader.at_eof()
        assert not use.old_stream.reader.at_eof()


@pytest.mark.parametrize("kind", KINDS)
async def test_t_84_it_ends_in_both_workers_and_what_others_have_goes_on(gateway: Gateway, kind: str) -> None:
    mine, other = Party(gateway), Party(gateway)
    token, name = KINDS[kind](mine)
    path, tool = (MOUNT, "reindex") if kind == "server" else (PORTAL, "notes_reindex")
    over = asyncio.Event()
    async with to_each_worker(gateway) as workers, asyncio.TaskGroup() as group:
        assert len(workers) == 2
        uses = [Use(token, path, lines[:4]) for lines in workers]
        others = [Use(other.token(), PORTAL, lines[4:]) for lines in workers]
        await begin(gateway, uses, tool, {"steps": 100, "pause": 0.2})
        await begin(gateway, others, "clock_timer", {"seconds": 3})
        loads = [group.create_task(work(use, over)) for use in others]

        await asyncio.to_thread(gateway.run, "revoke", kind, name)

        await ends(uses, tool, until_told if kind == "tool" else until_over)
        await goes_on(others)
        over.set()
        assert all([await load for load in loads])
    assert outcomes(gateway, *mine.labels) == ["revoked", "revoked"]
    assert outcomes(gateway, *other.labels) == ["ok", "ok"]
    if kind in MEND:
        await asyncio.to_thread(gateway.run, *MEND[kind])
    for party in (mine, other):
        party.office.close()
