"""Servers of 2025-11-25 and before, and what becomes of their answers."""

import asyncio
import json

import pytest

from gateway.upstream import Ask, UpstreamBroken
from gateway.upstream.legacy.sessions import SESSIONS_MOST
from registry.catalogue import Credential
from registry.tables import Era
from tests.fakes.deadlines import within
from tests.fakes.processes import running
from tests.fakes.servers.raw import (
    LAST,
    STREAM,
    Asked,
    chunk,
    error,
    event,
    http,
    principal,
    raw_server,
    result,
    upstream_at,
)

ASKING = b'{"elicitation":{},"sampling":{}}'


class Clockwork:
    """A legacy server with sessions, as small as it goes; `work` answers what is no handshake."""

    def __init__(self, work=None, *, sessions=True, listens=False) -> None:
        self.listens = listens  # has a stream of its own beside those of calls; `work` has what is on it
        self.sessions: list[str] = []
        self.ended: list[str] = []
        self.keeps = sessions
        self.work = work or self.plain

    async def plain(self, asked: Asked, writer: asyncio.StreamWriter) -> bytes:
        return http(result(asked, {"content": [], "session": asked.headers.get("mcp-session-id", "")}))

    async def __call__(self, asked: Asked, writer: asyncio.StreamWriter) -> bytes | None:
        session = asked.headers.get("mcp-session-id", "")
        if asked.line.startswith("DELETE"):
            self.ended.append(session)
            self.sessions.remove(session)
            return http(b"")
        if asked.line.startswith("GET") and "last-event-id" not in asked.headers and not self.listens:
            return http(b"", "405 Method Not Allowed")
        if asked.method == "initialize":
            return self.begin(asked)
        if self.keeps and session not in self.sessions:
            return http(error(asked, -32600), "404 Not Found")
        if asked.body and "id" not in asked.message:
            return http(b"", "202 Accepted")
        return await self.work(asked, writer)

    def begin(self, asked: Asked) -> bytes:
        value = {"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {"name": "c", "version": "1"}}
        if not self.keeps:
            return http(result(asked, value))
        self.sessions.append(f"session-{len(self.sessions) + len(self.ended)}-{asked.connection}")
        return http(result(asked, value), extra=f"Mcp-Session-Id: {self.sessions[-1]}\r\n")


def call(who: str = "a", **more) -> Ask:
    return Ask(
        **({"method": "tools/call", "name": "t", "params": {"name": b'"t"'}, "principal": principal(who)} | more)
    )


async def test_a_session_is_begun_once_and_kept(servers, caller):
    async with raw_server(Clockwork()) as server:
        upstream = server.upstream(Era.LEGACY)
        await asyncio.gather(*(servers.send(upstream, call(), caller, None) for _ in range(5)))
        await servers.send(upstream, call(), caller, None)
        assert len(server.asked_for("initialize")) == 1
        assert len(server.asked_for("notifications/initialized")) == 1
        asked = server.asked_for("tools/call")[0]
        assert asked.headers["mcp-protocol-version"] == "2025-06-18"
        assert asked.headers["mcp-session-id"].startswith("session-0")


async def test_people_credentials_and_capabilities_have_sessions_of_their_own(servers, caller):
    async with raw_server(Clockwork()) as server:
        upstream = server.upstream(Era.LEGACY)
        origin = f"http://127.0.0.1:{server.port}"
        one, two = (Credential("raw", origin, b"X-Key", key) for key in (b"1", b"2"))
        acted = principal("a", actor=principal("robot"))
        asks = [
            (call("a"), None),
            (call("b"), None),
            (call("a"), one),
            (call("a"), two),
            (call("a", principal=acted), None),
        ]
        asks += [(call("a", legacy_session="s", capabilities=ASKING), None), (call("a", principal=None), None)]
        seen = [
            json.loads((await servers.send(upstream, ask, caller, held)).result)["session"] for ask, held in asks * 2
        ]
        assert len(set(seen)) == len(asks)
        assert seen[: len(asks)] == seen[len(asks) :]


async def test_another_process_finds_the_session(make_servers, caller):
    async with raw_server(Clockwork()) as server:
        upstream = server.upstream(Era.LEGACY)
        for servers in (make_servers(), make_servers()):
            await servers.send(upstream, call(), caller, None)
        assert len(server.asked_for("initialize")) == 1


async def test_ids_of_two_processes_in_one_session_differ(make_servers, caller):
    async with raw_server(Clockwork()) as server:
        for servers in (make_servers(), make_servers()):
            await asyncio.gather(*(servers.send(server.upstream(Era.LEGACY), call(), caller, None) for _ in range(20)))
        ids = [asked.message["id"] for asked in server.asked_for("tools/call")]
        assert len(set(ids)) == len(ids) == 40
        assert max(ids) < 2**53


async def test_a_session_that_has_ended_is_begun_again(servers, caller):
    clockwork = Clockwork()
    async with raw_server(clockwork) as server:
        upstream = server.upstream(Era.LEGACY)
        await servers.send(upstream, call(), caller, None)
        clockwork.sessions.clear()
        said = await asyncio.gather(*(servers.send(upstream, call(), caller, None) for _ in range(5)))
        assert all(answer.result for answer in said)
        assert len(server.asked_for("initialize")) == 2


async def test_a_server_that_ends_every_session_is_not_asked_for_ever(servers, caller):
    clockwork = Clockwork()
    async with raw_server(clockwork) as server:

        async def forget(asked: Asked, writer: asyncio.StreamWriter) -> bytes:
            return http(error(asked, -32000), "400 Bad Request")

        clockwork.work = forget
        with pytest.raises(UpstreamBroken, match="ends each session"):
            await servers.send(server.upstream(Era.LEGACY), call(), caller, None)
        assert len(server.asked_for("initialize")) == 2


async def test_sessions_are_ended_at_the_end(make_servers, caller):
    clockwork = Clockwork()
    async with raw_server(clockwork) as server:
        one, two = make_servers(), make_servers()
        for servers in (one, two):
            await servers.send(server.upstream(Era.LEGACY), call(), caller, None)
        await one.close()
        await two.close()
        assert len(clockwork.ended) == 1


async def test_a_server_without_sessions_is_served_too(servers, caller):
    async with raw_server(Clockwork(sessions=False)) as server:
        assert (await servers.send(server.upstream(Era.LEGACY), call(), caller, None)).result
        assert "mcp-session-id" not in server.asked[-1].headers


async def test_a_version_that_nobody_here_speaks_is_refused(servers, caller):
    async def future(asked: Asked, writer: asyncio.StreamWriter) -> bytes:
        return http(result(asked, {"protocolVersion": "2031-01-01", "capabilities": {}, "serverInfo": {}}))

    async with raw_server(future) as server:
        with pytest.raises(UpstreamBroken, match="no revision"):
            await servers.send(server.upstream(Era.LEGACY), call(), caller, None)


async def test_giving_up_tells_the_server(servers, caller):
    arrived = asyncio.Event()

    async def mute(asked: Asked, writer: asyncio.StreamWriter) -> None:
        arrived.set()

    async with raw_server(Clockwork(mute)) as server:
        task = asyncio.create_task(servers.send(server.upstream(Era.LEGACY), call(), caller, None))
        await within(arrived.wait(), 20)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await servers.close()
        told = server.asked_for("notifications/cancelled")
        assert told[0].message["params"]["requestId"] == server.asked_for("tools/call")[0].message["id"]


def asking_back(method: str, ident: object = "q-1", **params: object):
    """Answers a call after its own question was answered."""
    answers: asyncio.Queue[dict] = asyncio.Queue()

    async def work(asked: Asked, writer: asyncio.StreamWriter) -> bytes:
        writer.write(STREAM + event({"jsonrpc": "2.0", "id": ident, "method": method, "params": params}))
        await writer.drain()
        said = await answers.get()
        return event(result(asked, {"content": [], "said": said})) + LAST

    clockwork = Clockwork(work)

    async def respond(asked: Asked, writer: asyncio.StreamWriter) -> bytes | None:
        if asked.body and "method" not in asked.message:
            answers.put_nowait(asked.message)
            return http(b"", "202 Accepted")
        return await clockwork(asked, writer)

    return respond


async def test_a_question_of_the_server_reaches_a_legacy_caller_and_the_answer_goes_back(servers, caller):
    caller.reply = b'{"action":"accept","content":{"name":"x"}}'
    async with raw_server(asking_back("elicitation/create", message="Name?")) as server:
        ask = call(legacy_session="s", capabilities=ASKING)
        answer = await servers.send(server.upstream(Era.LEGACY), ask, caller, None)
        said = json.loads(answer.result)["said"]
        assert said == {"jsonrpc": "2.0", "id": "q-1", "result": {"action": "accept", "content": {"name": "x"}}}
        assert caller.questions == [("elicitation/create", b'{"message": "Name?"}')]
        declared = server.asked_for("initialize")[0].message["params"]["capabilities"]
        assert declared == {"elicitation": {}, "sampling": {}}


async def test_a_question_that_is_declined_is_answered_with_an_error(servers, caller):
    async with raw_server(asking_back("sampling/createMessage", 0)) as server:
        ask = call(legacy_session="s", capabilities=ASKING)
        answer = await servers.send(server.upstream(Era.LEGACY), ask, caller, None)
        assert json.loads(answer.result)["said"] == {
            "jsonrpc": "2.0",
            "id": 0,
            "error": {"code": -1, "message": "declined"},
        }


@pytest.mark.parametrize("method", ["elicitation/create", "sampling/createMessage", "roots/list", "tools/call", "x"])
async def test_a_modern_caller_that_declared_nothing_is_not_asked(servers, caller, method):
    caller.reply = b"{}"
    async with raw_server(asking_back(method)) as server:
        answer = await servers.send(server.upstream(Era.LEGACY), call(), caller, None)
        assert json.loads(answer.result)["said"]["error"]["code"] == -32601
        assert not caller.questions
        assert server.asked_for("initialize")[0].message["params"]["capabilities"] == {}


async def test_a_ping_is_answered_here(servers, caller):
    async with raw_server(asking_back("ping")) as server:
        answer = await servers.send(server.upstream(Era.LEGACY), call(), caller, None)
        assert json.loads(answer.result)["said"]["result"] == {}


async def test_while_somebody_is_asked_silence_is_not_the_servers(make_servers, caller):
    class Thinking:
        async def request(self, method: str, params: bytes) -> bytes:
            await asyncio.sleep(0.8)
            return b"{}"

    servers = make_servers(silence=0.5)
    async with raw_server(asking_back("elicitation/create")) as server:
        ask = call(legacy_session="s", capabilities=ASKING)
        assert (await servers.send(server.upstream(Era.LEGACY), ask, Thinking(), None)).result


async def test_a_fault_of_ours_while_asking_ends_the_ask_at_once(servers, caplog):
    class Faulty:
        async def request(self, method: str, params: bytes) -> bytes:
            raise ValueError("a mistake")

    async with raw_server(asking_back("elicitation/create")) as server:
        ask = call(legacy_session="s", capabilities=ASKING)
        with pytest.raises(UpstreamBroken, match="could not be put"):
            await within(servers.send(server.upstream(Era.LEGACY), ask, Faulty(), None), 3)
    assert "a mistake" in caplog.text


async def test_progress_and_messages_come_without_our_token(servers, caller):
    async def work(asked: Asked, writer: asyncio.StreamWriter) -> bytes:
        if asked.method == "logging/setLevel":
            return http(result(asked, {}))
        token = asked.message["params"]["_meta"]["progressToken"]
        notes = [
            ("notifications/progress", {"progressToken": token, "progress": 1, "x": [None]}),
            ("notifications/progress", {"progressToken": "of another", "progress": 2}),
            ("notifications/message", {"level": "debug", "data": 1}),
            ("notifications/message", {"level": "error", "data": 2}),
            ("notifications/tools/list_changed", {}),
        ]
        said = b"".join(event({"jsonrpc": "2.0", "method": name, "params": params}) for name, params in notes)
        return STREAM + said + event(result(asked)) + LAST

    async with raw_server(Clockwork(work)) as server:
        ask = call(progress=True, log_level="warning")
        for _ in range(2):
            await servers.send(server.upstream(Era.LEGACY), ask, caller, None)
        assert [(name, json.loads(params)) for name, params in caller.heard[:2]] == [
            ("notifications/progress", {"progress": 1, "x": [None]}),
            ("notifications/message", {"level": "error", "data": 2}),
        ]
        assert len(caller.heard) == 4
        assert [asked.message["params"] for asked in server.asked_for("logging/setLevel")] == [{"level": "warning"}]


async def test_a_stream_that_the_server_leaves_is_taken_up_again(servers, caller):
    left: list[Asked] = []

    async def work(asked: Asked, writer: asyncio.StreamWriter) -> bytes:
        if asked.line.startswith("GET"):
            assert asked.headers["last-event-id"] == "e7"
            return STREAM + event(result(left[0], {"content": [], "late": True})) + LAST
        left.append(asked)
        return STREAM + chunk(b"id: e7\r\nretry: 1\r\ndata: \r\n\r\n") + LAST

    async with raw_server(Clockwork(work)) as server:
        answer = await servers.send(server.upstream(Era.LEGACY), call(), caller, None)
        assert json.loads(answer.result)["late"] is True
        assert len(left) == 1


@pytest.mark.parametrize(
    ("ask", "said", "expected"),
    [
        (
            call(),
            {"content": [{"type": "x"}], "y": None},
            {"resultType": "complete", "content": [{"type": "x"}], "y": None},
        ),
        (call(), {}, {"resultType": "complete"}),
        (call(), {"resultType": "input_required", "a": 1}, {"resultType": "complete", "a": 1}),
        (
            Ask(method="tools/list", principal=None),
            {"tools": []},
            {"resultType": "complete", "ttlMs": 0, "cacheScope": "private", "tools": []},
        ),
    ],
)
async def test_results_get_what_a_modern_one_must_have(servers, caller, ask, said, expected):
    async def work(asked: Asked, writer: asyncio.StreamWriter) -> bytes:
        return http(result(asked, said))

    async with raw_server(Clockwork(work)) as server:
        answer = await servers.send(server.upstream(Era.LEGACY), ask, caller, None)
        assert json.loads(answer.result) == expected


@pytest.mark.parametrize(
    ("code", "session", "expected"),
    [
        (-32002, "", {"code": -32602, "message": "no", "data": {"uri": "t"}}),
        (-32002, "s", {"code": -32602, "message": "no", "data": {"uri": "t"}}),
        (-32042, "", {"code": -32042, "message": "no", "data": {"elicitations": []}}),  # the portal makes words of it
        (-32042, "s", {"code": -32042, "message": "no", "data": {"elicitations": []}}),
        (-32001, "", {"code": -32603, "message": "no", "data": {"code": -32001}}),
        (-32602, "", {"code": -32602, "message": "no", "data": {"elicitations": []}}),
        (7, "", {"code": 7, "message": "no", "data": {"elicitations": []}}),
    ],
)
async def test_errors_say_what_they_mean_to_a_modern_caller(servers, caller, code, session, expected):
    async def work(asked: Asked, writer: asyncio.StreamWriter) -> bytes:
        return http(error(asked, code, data={"elicitations": []}))

    async with raw_server(Clockwork(work)) as server:
        answer = await servers.send(server.upstream(Era.LEGACY), call(legacy_session=session), caller, None)
        assert json.loads(answer.error) == expected


async def test_a_legacy_server_of_the_sdk_is_served(servers, caller):
    caller.reply = b'{"action":"accept","content":{"username":"u","email":"e@x.example"}}'
    with running("-m", "tests.fakes.fixture", "--era", "legacy") as url:
        for tool in ("test_simple_text", "test_tool_with_progress", "test_elicitation"):
            ask = call(
                name=tool,
                params={"name": f'"{tool}"'.encode(), "arguments": b'{"message":"Who?"}'},
                progress=True,
                capabilities=ASKING,
                legacy_session="s",
            )
            answer = json.loads((await servers.send(upstream_at(url, Era.LEGACY), ask, caller, None)).result)
            assert answer["resultType"] == "complete"
            assert answer["content"]
            assert not answer.get("isError")
        assert [method for method, _ in caller.questions] == ["elicitation/create"]
        assert {method for method, _ in caller.heard} == {"notifications/progress"}
        await servers.close()


async def test_a_client_that_is_another_each_time_opens_no_end_of_sessions(servers, caller):
    clockwork = Clockwork()
    async with raw_server(clockwork) as server:
        upstream = server.upstream(Era.LEGACY)
        await servers.send(upstream, call("b"), caller, None)
        for number in range(SESSIONS_MOST + 5):
            told = b'{"experimental":{"x%d":{}}}' % number
            await servers.send(upstream, call(legacy_session="s", capabilities=told), caller, None)
        assert len(clockwork.sessions) == SESSIONS_MOST + 1
        assert len(clockwork.ended) == 5
        await servers.send(upstream, call("b"), caller, None)
        assert len(server.asked_for("initialize")) == SESSIONS_MOST + 6  # nobody else's was ended
