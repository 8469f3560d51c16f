"""Tasks between the eras, against a server that has them in the form of either revision."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from gateway.rendezvous.memory import MemoryRendezvous
from gateway.upstream import AskRefused
from gateway.upstream.legacy import task_questions
from gateway.upstream.legacy.parked import name_for
from registry.secrets.vault import Vault
from registry.tables import Era
from tests.fakes.door import entry, eventually
from tests.fakes.processes import running
from tests.fakes.servers.raw import http, raw_server, result, upstream_at
from tests.gateway.upstream.legacy.test_legacy_servers import Clockwork, call

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry.catalogue import Upstream

EXTENSION = "io.modelcontextprotocol/tasks"
ASKABLE = b'{"elicitation":{}}'
KNOWS = b'{"elicitation":{},"extensions":{"io.modelcontextprotocol/tasks":{}}}'
ACCEPTED = b'{"action":"accept","content":{"name":"Alice","confirm":true}}'


@pytest.fixture(scope="module", params=list(Era))
def server(request: pytest.FixtureRequest) -> Iterator[Upstream]:
    with running("-m", "tests.fakes.fixture", "--era", str(request.param)) as url:
        yield upstream_at(url, request.param)


@pytest.fixture(scope="module")
def legacy() -> Iterator[Upstream]:
    with running("-m", "tests.fakes.fixture", "--era", "legacy") as url:
        yield upstream_at(url, Era.LEGACY)


@pytest.fixture(scope="module")
def modern() -> Iterator[Upstream]:
    with running("-m", "tests.fakes.fixture", "--era", "modern") as url:
        yield upstream_at(url, Era.MODERN)


def tool(name: str, support: str = "required", capabilities: bytes = KNOWS, **arguments: Any):
    definition = entry("fixture", name, execution={"taskSupport": support})
    params = {"name": json.dumps(name).encode(), "arguments": json.dumps(arguments).encode()}
    return call(name=name, params=params, entry=definition, capabilities=capabilities, tasks=True)


def about(ident: str, method: str = "tasks/get", **params: bytes):
    return call(
        method=method,
        name=ident,
        params={"taskId": json.dumps(ident).encode(), **params},
        capabilities=KNOWS,
        tasks=True,
    )


async def get(servers, server, caller, ident: str, *statuses: str, session: str = "") -> dict[str, Any]:
    """The task as soon as it has one of these."""
    looking = about(ident)
    looking.legacy_session = session
    async with asyncio.timeout(10):
        while True:
            told = json.loads((await servers.send(server, looking, caller, None)).result)
            assert told["resultType"] == "complete"
            if told["status"] in statuses:
                return told
            await asyncio.sleep(0.05)


async def begin(servers, server, caller, *which: str, **arguments: Any) -> str:
    begun = json.loads((await servers.send(server, tool(*which, **arguments), caller, None)).result)
    assert begun["resultType"] == "task"
    assert "task" not in begun
    assert isinstance(begun["ttlMs"], int)
    assert "ttl" not in begun
    ident: str = begun["taskId"]
    return ident


async def test_a_task_ends_with_its_result_in_it(servers, caller, server):
    ident = await begin(servers, server, caller, "slow_compute", "optional", label="x")
    told = await get(servers, server, caller, ident, "completed")
    assert told["result"]["content"] == [{"type": "text", "text": "computed x"}]
    assert "_meta" not in told["result"]


async def test_what_a_tool_says_went_wrong_is_a_result_and_what_the_protocol_says_is_an_error(servers, caller, server):
    failing = await begin(servers, server, caller, "failing_job")
    assert (await get(servers, server, caller, failing, "completed"))["result"]["isError"] is True
    broken = await get(servers, server, caller, await begin(servers, server, caller, "protocol_error_job"), "failed")
    assert broken["error"]["code"] == -32603
    assert "result" not in broken


async def test_what_is_asked_in_a_task_is_answered_one_by_one(servers, caller, server):
    ident = await begin(servers, server, caller, "multi_input")
    first, second = (await get(servers, server, caller, ident, "input_required"))["inputRequests"]
    said = about(ident, "tasks/update", inputResponses=b'{"%s":%s}' % (first.encode(), ACCEPTED))
    assert json.loads((await servers.send(server, said, caller, None)).result) == {"resultType": "complete"}
    assert list((await get(servers, server, caller, ident, "input_required"))["inputRequests"]) == [second]
    said = about(ident, "tasks/update", inputResponses=b'{"%s":%s}' % (second.encode(), ACCEPTED))
    await servers.send(server, said, caller, None)
    assert (await get(servers, server, caller, ident, "completed"))["result"]["content"][0]["text"] == "2 answers"


async def test_nobody_hears_by_what_name_a_server_of_before_knows_a_task(servers, caller, legacy):
    ident = await begin(servers, legacy, caller, "confirm_delete", filename="f")
    [asked] = (await get(servers, legacy, caller, ident, "input_required"))["inputRequests"].values()
    assert "_meta" not in asked["params"]


async def test_a_task_is_cancelled_and_may_be_cancelled_again(servers, caller, server):
    ident = await begin(servers, server, caller, "slow_compute", "optional", seconds=60)
    for _ in range(2):
        answer = await servers.send(server, about(ident, "tasks/cancel"), caller, None)
        assert json.loads(answer.result) == {"resultType": "complete"}
    await get(servers, server, caller, ident, "cancelled")


async def test_who_knows_no_tasks_gets_what_comes_of_one(servers, caller, legacy):
    broken = await servers.send(legacy, tool("protocol_error_job", capabilities=b"{}"), caller, None)
    assert json.loads(broken.error)["code"] == -32603
    at_once = await servers.send(legacy, tool("slow_compute", "optional", b"{}", label="y"), caller, None)
    assert json.loads(at_once.result)["content"][0]["text"] == "computed y"


async def test_what_a_task_asks_meanwhile_is_asked_as_in_any_call(servers, caller, legacy):
    asked = json.loads((await servers.send(legacy, tool("confirm_delete", capabilities=ASKABLE), caller, None)).result)
    [key] = asked["inputRequests"]
    again = tool("confirm_delete", capabilities=ASKABLE)
    again.params = {
        **again.params,
        "requestState": json.dumps(asked["requestState"]).encode(),
        "inputResponses": b'{"%s":%s}' % (key.encode(), ACCEPTED),
    }
    done = json.loads((await servers.send(legacy, again, caller, None)).result)
    assert done["content"][0]["text"] == "confirmed: accept"
    assert "_meta" not in done


async def test_what_its_server_does_not_want_to_be_waited_for_needs_a_client_that_knows_tasks(servers, caller, legacy):
    answer = await servers.send(legacy, tool("failing_job", capabilities=b"{}"), caller, None)
    error = json.loads(answer.error)
    assert error["code"] == -32021
    assert error["data"] == {"requiredCapabilities": {"extensions": {EXTENSION: {}}}}


async def test_another_process_sees_what_a_task_asks_and_takes_the_answer(make_servers, caller, legacy):
    one, other = make_servers(), make_servers()
    ident = await begin(one, legacy, caller, "confirm_delete", filename="f")
    asked = (await get(one, legacy, caller, ident, "input_required"))["inputRequests"]
    assert (await get(other, legacy, caller, ident, "input_required"))["inputRequests"] == asked
    said = about(ident, "tasks/update", inputResponses=b'{"%s":%s}' % (next(iter(asked)).encode(), ACCEPTED))
    await other.send(legacy, said, caller, None)
    told = await get(other, legacy, caller, ident, "completed")
    assert told["result"]["content"][0]["text"] == "confirmed: accept"


async def test_a_task_of_somebody_else_asks_them_nothing(servers, caller, legacy):
    """What is open is found under the name of who began it; the portal lets nobody else come as far as this."""
    ident = await begin(servers, legacy, caller, "confirm_delete", filename="f")
    await get(servers, legacy, caller, ident, "input_required")
    foreign = about(ident, "tasks/update", inputResponses=b'{"q1":%s}' % ACCEPTED)
    foreign.principal = call("somebody-else").principal
    await servers.send(legacy, foreign, caller, None)
    assert (await get(servers, legacy, caller, ident, "input_required"))["inputRequests"]


# Clients of earlier revisions


def before(ask):
    ask.capabilities, ask.legacy_session = ASKABLE, "s"
    return ask


async def test_a_client_of_before_gets_what_comes_of_a_task_in_either_era(servers, caller, server):
    caller.reply = ACCEPTED
    done = json.loads((await servers.send(server, before(tool("confirm_delete", filename="f")), caller, None)).result)
    assert done["content"][0]["text"] == "confirmed: accept"
    assert [method for method, _ in caller.questions] == ["elicitation/create"]
    broken = await servers.send(server, before(tool("protocol_error_job")), caller, None)
    assert json.loads(broken.error)["code"] == -32603


async def test_a_client_of_before_that_will_not_be_asked_has_said_no(servers, caller, server):
    caller.reply = b'{"action":"decline"}'
    done = json.loads((await servers.send(server, before(tool("confirm_delete", filename="f")), caller, None)).result)
    assert done["content"][0]["text"] == "confirmed: decline"


async def test_a_call_that_is_given_up_takes_its_task_along(servers, caller):
    async def work(asked, writer) -> bytes:
        times = {"createdAt": "a", "lastUpdatedAt": "b", "ttl": None}
        state = {"taskId": "t", "status": "working", "pollInterval": 100, **times}
        return http(result(asked, {"task": state} if asked.message["method"] == "tools/call" else state))

    clockwork = Clockwork(work)

    async def respond(asked, writer):
        about_tasks = asked.body and str(asked.message.get("method", "")).startswith("tasks/")
        return await (work if about_tasks else clockwork)(asked, writer)

    async with raw_server(respond) as server:
        calling = asyncio.create_task(
            servers.send(server.upstream(Era.LEGACY), tool("t", capabilities=b"{}"), caller, None)
        )
        await eventually(lambda: server.asked_for("tasks/get"))
        calling.cancel()
        await eventually(lambda: server.asked_for("tasks/cancel"))
        with pytest.raises(asyncio.CancelledError):
            await calling


async def test_a_question_that_nobody_can_be_asked_is_declined_in_a_task(servers, modern):
    """A legacy server hears the error itself, and decides."""

    class Silent:
        async def notify(self, method: str, params: bytes) -> None: ...

        async def request(self, method: str, params: bytes) -> bytes:
            raise AskRefused(b'{"code":-32601,"message":"no"}')

        def refuses(self, method: str, params: bytes) -> str:
            return ""

    done = json.loads((await servers.send(modern, before(tool("confirm_delete", filename="f")), Silent(), None)).result)
    assert done["content"][0]["text"] == "confirmed: decline"


# Clients of 2025-11-25 that ask for a task, and what a server hears of who asks for none


def wishing(which: str, support: str = "optional", **more: bytes):
    ask = tool(which, support)
    ask.params, ask.legacy_session = {**ask.params, **more}, "s"
    return ask


async def test_who_asks_for_a_task_gets_one_and_knows_it_again(servers, caller, server):
    begun = json.loads((await servers.send(server, wishing("slow_compute", label=b'"x"'), caller, None)).result)
    assert begun["resultType"] == "task"
    told = await get(servers, server, caller, begun["taskId"], "completed", session="s")
    assert told["result"]["content"][0]["text"].startswith("computed")


class Sessions(Clockwork):
    """A server of before that runs no tasks, whatever it is asked for."""

    def declared(self, server) -> list[dict[str, Any]]:
        return [one.message["params"]["capabilities"] for one in server.asked_for("initialize")]


async def plainly(asked, writer) -> bytes:
    return http(result(asked, {"content": []}))


async def test_a_server_of_before_hears_for_how_long_and_nothing_of_the_extension(servers, caller):
    clockwork = Sessions(plainly)
    async with raw_server(clockwork) as server:
        upstream = server.upstream(Era.LEGACY)
        await servers.send(upstream, wishing("t", task=b'{"ttl":5}'), caller, None)
        [asked] = server.asked_for("tools/call")
        assert asked.message["params"]["task"] == {"ttl": 5}
        assert clockwork.declared(server) == [{"elicitation": {}}]


@pytest.mark.parametrize("session", ["", "s"])
async def test_a_wish_goes_to_no_tool_that_is_not_to_be_a_task(servers, caller, session):
    async with raw_server(Sessions(plainly)) as server:
        ask = wishing("t", "forbidden", task=b'{"ttl":5}')
        ask.legacy_session = session
        await servers.send(server.upstream(Era.LEGACY), ask, caller, None)
        [asked] = server.asked_for("tools/call")
        assert "task" not in asked.message["params"]


async def test_what_nobody_takes_leaves_no_question_behind_that_nobody_waits_for(monkeypatch) -> None:
    """As a process that was killed left it: whoever looks next waits anew."""
    monkeypatch.setattr(task_questions, "TAKEN_WITHIN", 0.1)
    rendezvous = MemoryRendezvous()
    questions = task_questions.TaskQuestions(rendezvous, Vault({"1": b"k" * 32}))
    said = about("t-1", "tasks/update", inputResponses=b"{}")
    left = [f"{what}/{name_for(said.principal, 't-1')}" for what in ("task-asked", "task-waits")]
    for key in left:
        await rendezvous.put(key, b"1", 60)
    await questions.answer(said, "t-1")
    assert [await rendezvous.get(key) for key in left] == [None, None]
    await rendezvous.close()
