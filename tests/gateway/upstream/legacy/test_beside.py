"""A legacy server that asks, on the stream of its session, what a call of it needs to know."""

from __future__ import annotations

import asyncio
import json

import pytest

from gateway.running import Run
from gateway.upstream import UpstreamSlow
from gateway.upstream.legacy import beside
from registry.tables import Era
from tests.fakes.deadlines import within
from tests.fakes.door import eventually
from tests.fakes.servers.raw import LAST, STREAM, chunk, event, http, raw_server, result
from tests.gateway.upstream.legacy.test_legacy_servers import ASKING, Clockwork, call

SAID = b'{"action":"accept","content":{"name":"x"}}'


class Aside:
    """Asks on the session's stream while a tool works, which answers when it has heard."""

    def __init__(self, *, lazy: bool = False) -> None:
        self.lazy = lazy  # says nothing on the stream, not even its head, until it asks
        self.streams: list[asyncio.StreamWriter] = []
        self.begun = 0
        self.answers: asyncio.Queue[dict] = asyncio.Queue()
        self.clockwork = Clockwork(self.work, listens=True)

    async def __call__(self, asked, writer):
        if asked.body and "method" not in asked.message:
            self.answers.put_nowait(asked.message)
            return http(b"", "202 Accepted")
        return await self.clockwork(asked, writer)

    async def work(self, asked, writer):
        if asked.line.startswith("GET"):
            self.begun += 1
            self.streams.append(writer)
            if not self.lazy:
                writer.write(STREAM)
            while not writer.is_closing():
                await asyncio.sleep(0.02)
                writer.write(b"" if self.lazy else chunk(b": still here\r\n\r\n"))
            return LAST
        if not asked.message["params"].get("_meta", {}).get("quiet"):
            self.ask()
        said = await self.answers.get()
        return http(result(asked, {"content": [], "said": said}))

    def ask(self, method: str = "elicitation/create") -> None:
        question = {"jsonrpc": "2.0", "id": "q-1", "method": method, "params": {"message": "Name?"}}
        self.streams[-1].write((STREAM if self.lazy else b"") + event(question))


def asking(**more):
    return call(**({"legacy_session": "s", "capabilities": ASKING} | more))


@pytest.mark.parametrize("lazy", [False, True])
async def test_the_question_reaches_the_caller_and_the_answer_the_server(servers, caller, lazy):
    caller.reply = SAID
    aside = Aside(lazy=lazy)
    async with raw_server(aside) as server:
        answer = await servers.send(server.upstream(Era.LEGACY), asking(), caller, None)
    assert json.loads(answer.result)["said"] == {"jsonrpc": "2.0", "id": "q-1", "result": json.loads(SAID)}
    assert caller.questions == [("elicitation/create", b'{"message": "Name?"}')]


async def test_the_stream_is_begun_once_for_calls_that_follow_each_other(servers, caller):
    caller.reply = SAID
    aside = Aside()
    async with raw_server(aside) as server:
        upstream = server.upstream(Era.LEGACY)
        for _ in range(3):
            await servers.send(upstream, asking(), caller, None)
    assert aside.begun == 1


async def test_and_ends_when_nothing_is_called_any_more(servers, caller, monkeypatch):
    monkeypatch.setattr(beside, "LINGER", 0.05)
    caller.reply = SAID
    aside = Aside()
    async with raw_server(aside) as server:
        await servers.send(server.upstream(Era.LEGACY), asking(), caller, None)
        await eventually(aside.streams[-1].is_closing)


async def test_a_call_that_waits_for_nothing_before_it_begins_the_stream_anew(servers, caller, monkeypatch):
    """As the door runs it: no task, until it waits for something."""
    monkeypatch.setattr(beside, "LINGER", 0.05)
    caller.reply = SAID
    aside = Aside()
    async with raw_server(aside) as server:
        upstream = server.upstream(Era.LEGACY)
        await servers.send(upstream, asking(), caller, None)  # its session is open from here on
        await eventually(aside.streams[-1].is_closing)
        answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def request():
            try:
                await servers.send(upstream, asking(), caller, None)
                answered.set_result(None)
            except RuntimeError as broke:
                answered.set_exception(broke)

        run = Run(request(), lambda _: None)
        asyncio.get_running_loop().call_soon(run.step)
        await within(answered, 10)
    assert aside.begun == 2


async def test_a_server_without_such_a_stream_is_asked_for_it_once(servers, caller):
    clockwork = Clockwork()
    async with raw_server(clockwork) as server:
        upstream = server.upstream(Era.LEGACY)
        for _ in range(3):
            await servers.send(upstream, asking(), caller, None)
        assert len([one for one in server.asked if one.line.startswith("GET")]) == 1


async def test_where_nobody_can_be_asked_there_is_none(servers, caller):
    async with raw_server(Clockwork(listens=True)) as server:
        await servers.send(server.upstream(Era.LEGACY), call(), caller, None)
        assert not [one for one in server.asked if one.line.startswith("GET")]


async def test_each_persons_questions_are_their_own(servers, make_caller):
    """Sessions are of one person, and so are the streams of their questions."""
    aside = Aside()
    ann, bob = make_caller(b'{"action":"accept","content":{"who":"ann"}}'), make_caller(b'{"action":"decline"}')
    async with raw_server(aside) as server:
        upstream = server.upstream(Era.LEGACY)
        await servers.send(upstream, asking(who="ann"), ann, None)
        await servers.send(upstream, asking(who="bob"), bob, None)
    assert aside.begun == 2
    assert len(ann.questions) == len(bob.questions) == 1


async def test_a_question_while_nothing_is_called_is_put_to_nobody(servers, caller):
    caller.reply = SAID
    aside = Aside()
    async with raw_server(aside) as server:
        await servers.send(server.upstream(Era.LEGACY), asking(), caller, None)
        aside.ask()
        said = await within(aside.answers.get(), 20)
    assert said["error"]["code"] == -32601
    assert len(caller.questions) == 1


async def test_a_stream_that_breaks_takes_no_call_along(make_servers, caller):
    aside = Aside()
    servers = make_servers(silence=0.5)
    async with raw_server(aside) as server:
        upstream = server.upstream(Era.LEGACY)
        calling = asyncio.create_task(servers.send(upstream, asking(meta={"quiet": b"true"}), caller, None))
        await eventually(lambda: bool(aside.streams))
        aside.streams[-1].write(b"no chunk at all\r\n")
        with pytest.raises(UpstreamSlow):
            await calling
