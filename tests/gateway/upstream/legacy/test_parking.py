"""A legacy server asks in the middle of a call, and a modern caller is asked within the answer."""

from __future__ import annotations

import asyncio
import json

import pytest

from gateway.upstream import UpstreamBroken
from gateway.upstream.legacy import parking
from gateway.upstream.troubles import Trouble
from registry.tables import Era
from tests.fakes.deadlines import within
from tests.fakes.door import eventually
from tests.fakes.servers.raw import LAST, STREAM, chunk, event, http, raw_server
from tests.gateway.upstream.legacy.test_legacy_servers import Clockwork, asking_back, call

ASKING = b'{"elicitation":{},"roots":{},"extensions":{"x":{}},"experimental":{"y":{}}}'
SAID = b'{"action":"accept","content":{"name":"x"}}'


def again(asked: dict, said: bytes = SAID, **more):
    [key] = asked["inputRequests"]
    params = {
        "name": b'"t"',
        "inputResponses": b'{"%s":%s}' % (key.encode(), said),
        "requestState": json.dumps(asked["requestState"]).encode(),
    }
    return call(**({"capabilities": ASKING, "params": params} | more))


async def first(servers, upstream, caller) -> dict:
    answer = await servers.send(upstream, call(capabilities=ASKING), caller, None)
    asked: dict = json.loads(answer.result)
    assert asked["resultType"] == "input_required"
    return asked


async def test_the_question_comes_as_an_answer_and_the_same_call_goes_on_with_what_was_said(servers, caller):
    async with raw_server(asking_back("elicitation/create", message="Name?", elicitationId="e")) as server:
        upstream = server.upstream(Era.LEGACY)
        asked = await first(servers, upstream, caller)
        assert list(asked["inputRequests"].values()) == [
            {"method": "elicitation/create", "params": {"message": "Name?"}}
        ]
        done = json.loads((await servers.send(upstream, again(asked), caller, None)).result)
        assert done["resultType"] == "complete"
        assert done["said"] == {"jsonrpc": "2.0", "id": "q-1", "result": json.loads(SAID)}
        assert len(server.asked_for("tools/call")) == 1
        declared = server.asked_for("initialize")[0].message["params"]["capabilities"]
        assert declared == {"elicitation": {}, "roots": {}}


async def test_another_process_can_take_the_answer(make_servers, caller):
    one, other = make_servers(), make_servers()
    async with raw_server(asking_back("elicitation/create", message="Name?")) as server:
        upstream = server.upstream(Era.LEGACY)
        asked = await first(one, upstream, caller)
        await asyncio.sleep(0)  # the first process leaves word that it holds the call
        done = json.loads((await other.send(upstream, again(asked), caller, None)).result)
        assert done["said"]["result"] == json.loads(SAID)
        assert len(server.asked_for("tools/call")) == 1


async def test_what_a_server_says_in_a_later_round_reaches_the_process_that_the_client_came_back_to(
    make_servers, caller
):
    answered = asyncio.Event()

    async def talks(asked, writer) -> None:
        writer.write(STREAM + event({"jsonrpc": "2.0", "id": "q", "method": "elicitation/create", "params": {}}))
        await writer.drain()
        await answered.wait()
        number, token = asked.message["id"], asked.message["params"]["_meta"]["progressToken"]
        said = {"progressToken": token, "progress": 1}
        writer.write(event({"jsonrpc": "2.0", "method": "notifications/progress", "params": said}))
        writer.write(event({"jsonrpc": "2.0", "id": number, "result": {"content": []}}) + LAST)
        await writer.drain()

    class Answers(Clockwork):
        async def __call__(self, asked, writer):
            if "result" in asked.message:
                answered.set()
            return await super().__call__(asked, writer)

    one, other = make_servers(), make_servers()
    async with raw_server(Answers(talks)) as server:
        upstream = server.upstream(Era.LEGACY)
        asked = json.loads((await one.send(upstream, call(capabilities=ASKING, progress=True), caller, None)).result)
        await asyncio.sleep(0)
        elsewhere = type(caller)()
        done = await other.send(upstream, again(asked, progress=True), elsewhere, None)
        assert json.loads(done.result)["resultType"] == "complete"
        assert elsewhere.heard == [("notifications/progress", b'{"progress":1}')]
        assert caller.heard == []


async def test_a_client_that_hangs_up_on_another_process_gives_the_call_up(make_servers, caller):
    async def asks_and_waits(asked, writer) -> None:
        writer.write(STREAM + event({"jsonrpc": "2.0", "id": "q", "method": "elicitation/create", "params": {}}))
        await writer.drain()
        await asyncio.Event().wait()

    one, other = make_servers(), make_servers()
    async with raw_server(Clockwork(asks_and_waits)) as server:
        upstream = server.upstream(Era.LEGACY)
        asked = await first(one, upstream, caller)
        await asyncio.sleep(0)
        back = asyncio.create_task(other.send(upstream, again(asked), caller, None))
        await eventually(lambda: any("result" in each.message for each in server.asked if each.body))
        back.cancel()
        await eventually(lambda: server.asked_for("notifications/cancelled"))


async def test_a_server_may_name_its_questions_and_a_client_may_answer_before_it_is_asked(servers, caller):
    name = {"dev.ostiary/question": "who", "other/kept": 1}
    async with raw_server(asking_back("elicitation/create", message="Name?", _meta=name)) as server:
        upstream = server.upstream(Era.LEGACY)
        asked = (await first(servers, upstream, caller))["inputRequests"]
        assert asked == {
            "who": {"method": "elicitation/create", "params": {"message": "Name?", "_meta": {"other/kept": 1}}}
        }
    async with raw_server(asking_back("elicitation/create", message="Name?", _meta=name)) as server:
        upstream = server.upstream(Era.LEGACY)
        early = call(capabilities=ASKING, params={"name": b'"t"', "inputResponses": b'{"who":%s,"more":{}}' % SAID})
        done = json.loads((await servers.send(upstream, early, caller, None)).result)
        assert done["said"]["result"] == json.loads(SAID)


@pytest.mark.parametrize("said", [b"null", b"7", b'{"q1":12345}', b'{"q1":null}', b"[]"])
async def test_what_is_no_answer_leaves_the_question_open(servers, caller, said):
    async with raw_server(asking_back("elicitation/create", message="Name?")) as server:
        asked = call(capabilities=ASKING, params={"name": b'"t"', "inputResponses": said})
        answer = json.loads((await servers.send(server.upstream(Era.LEGACY), asked, caller, None)).result)
        assert answer["resultType"] == "input_required"


LINKED = {"code": -32042, "message": "no", "data": {"elicitations": [{"mode": "url", "elicitationId": "e",
    "url": "https://there.example/x", "message": "Sign"}]}}  # fmt: skip


async def test_a_link_that_a_server_wants_opened_is_asked_for_and_the_retry_calls_again(servers, caller):
    async def work(asked, writer) -> bytes:
        again_ = len(server.asked_for("tools/call")) > 1
        value = {"result": {"content": []}} if again_ else {"error": LINKED}
        return http(json.dumps({"jsonrpc": "2.0", "id": asked.message["id"], **value}).encode())

    able = b'{"elicitation":{"url":{}}}'
    async with raw_server(Clockwork(work)) as server:
        upstream = server.upstream(Era.LEGACY)
        asked = json.loads((await servers.send(upstream, call(capabilities=able), caller, None)).result)
        params = {"mode": "url", "message": "Sign", "url": "https://there.example/x"}
        assert asked == {
            "resultType": "input_required",
            "inputRequests": {"link1": {"method": "elicitation/create", "params": params}},
        }
        retry = {"name": b'"t"', "inputResponses": b'{"link1":{"action":"accept"}}'}
        done = await servers.send(upstream, call(capabilities=able, params=retry), caller, None)
        assert json.loads(done.result)["resultType"] == "complete"


async def test_a_call_that_is_not_parked_any_more_is_said_to_be_gone(make_servers, caller):
    one, other = make_servers(), make_servers()
    async with raw_server(asking_back("elicitation/create")) as server:
        upstream = server.upstream(Era.LEGACY)
        asked = await first(one, upstream, caller)
        await one.send(upstream, again(asked), caller, None)
        for process in (one, other):
            answer = await process.send(upstream, again({**asked, "requestState": "0" * 32}), caller, None)
            assert json.loads(answer.error)["code"] == -32602


async def test_a_call_whose_process_was_ended_is_said_to_be_gone_at_once(make_servers, caller):
    one, other = make_servers(), make_servers()
    async with raw_server(asking_back("elicitation/create")) as server:
        upstream = server.upstream(Era.LEGACY)
        asked = await first(one, upstream, caller)
        await one.close()
        answer = await within(other.send(upstream, again(asked), caller, None), 1)
        assert json.loads(answer.error)["code"] == -32602


async def test_a_call_whose_process_was_killed_is_said_to_be_gone_soon(make_servers, caller, monkeypatch):
    monkeypatch.setattr(parking, "LOST_AFTER", 0.2)
    one, other = make_servers(), make_servers()
    async with raw_server(asking_back("elicitation/create")) as server:
        upstream = server.upstream(Era.LEGACY)
        asked = await first(one, upstream, caller)
        [parked] = one._parking._parked.values()
        parked.keeper.cancel()
        answer = await within(other.send(upstream, again(asked), caller, None), 20)
        assert json.loads(answer.error)["code"] == -32602


async def test_a_process_that_is_killed_while_it_goes_on_for_another_keeps_nobody_waiting(
    make_servers, caller, monkeypatch
):
    monkeypatch.setattr(parking, "LOST_AFTER", 0.2)
    one, other = make_servers(), make_servers()

    async def asks_and_waits(asked, writer) -> None:
        writer.write(STREAM + event({"jsonrpc": "2.0", "id": "q", "method": "elicitation/create", "params": {}}))
        await writer.drain()
        await asyncio.Event().wait()

    async with raw_server(Clockwork(asks_and_waits)) as server:
        upstream = server.upstream(Era.LEGACY)
        asked = await first(one, upstream, caller)
        with pytest.raises(UpstreamBroken, match="may have been carried out") as lost:
            await within(other.send(upstream, again(asked), caller, None), 20)
        assert lost.value.trouble is Trouble.LOST


async def test_what_was_not_declared_is_not_asked(servers, caller):
    async with raw_server(asking_back("sampling/createMessage")) as server:
        answer = await servers.send(server.upstream(Era.LEGACY), call(capabilities=ASKING), caller, None)
        assert "error" in json.loads(answer.result)["said"]


async def test_a_client_that_does_not_come_back_has_its_call_cancelled(servers, caller, monkeypatch):
    monkeypatch.setattr(parking, "LIFE", 0.1)
    async with raw_server(asking_back("elicitation/create")) as server:
        await first(servers, server.upstream(Era.LEGACY), caller)
        await eventually(lambda: server.asked_for("notifications/cancelled"))


async def test_what_goes_wrong_while_the_client_thinks_is_told_when_it_comes_back(servers, caller):
    gate = asyncio.Event()

    async def breaks(asked, writer) -> None:
        writer.write(STREAM + event({"jsonrpc": "2.0", "id": 1, "method": "roots/list", "params": {}}))
        await writer.drain()
        await gate.wait()
        writer.write(chunk(b"data: not json\n\n"))
        await writer.drain()

    async with raw_server(Clockwork(breaks)) as server:
        upstream = server.upstream(Era.LEGACY)
        asked = await first(servers, upstream, caller)
        gate.set()
        await asyncio.sleep(0.1)
        with pytest.raises(UpstreamBroken):
            await servers.send(upstream, again(asked, b'{"roots":[]}'), caller, None)


async def test_a_question_that_was_not_answered_is_asked_again(servers, caller):
    async with raw_server(asking_back("elicitation/create", message="Name?")) as server:
        upstream = server.upstream(Era.LEGACY)
        asked = await first(servers, upstream, caller)
        state = json.dumps(asked["requestState"]).encode()
        nothing = call(capabilities=ASKING, params={"name": b'"t"', "requestState": state})
        second = json.loads((await servers.send(upstream, nothing, caller, None)).result)
        assert second["inputRequests"] == asked["inputRequests"]
        assert second["requestState"] != asked["requestState"]
        assert "said" in json.loads((await servers.send(upstream, again(second), caller, None)).result)


async def test_a_call_without_a_question_is_answered_as_ever(servers, caller):
    async with raw_server(Clockwork()) as server:
        answer = await servers.send(server.upstream(Era.LEGACY), call(capabilities=ASKING), caller, None)
        assert json.loads(answer.result)["resultType"] == "complete"
