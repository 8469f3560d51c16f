"""A call by a plan is no different from the first of its kind: in what leaves, what comes back, and the record."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import re
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from authz.policy.policy import Policy
from authz.tables import Rule
from gateway.egress.reply import Terms
from gateway.journal import JournalDown
from gateway.portal.calls import plans
from gateway.portal.door import Portal
from gateway.rendezvous.memory import MemoryRendezvous
from gateway.upstream.connections import Servers
from gateway.upstream.ways import Way
from registry.secrets.vault import Vault
from registry.tables import Era
from tests.fakes.door import RULES, Door, Got, Line, catalogue, entry, eventually, modern, open_door, upstream
from tests.fakes.servers.raw import LAST, STREAM, Asked, RawServer, event, http, raw_server, result

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    Respond = Callable[[Asked, asyncio.StreamWriter], Awaitable[bytes | None]]

TOOLS = [entry("notes", "add"), entry("notes", "long")]


@contextlib.asynccontextmanager
async def door_to(server: RawServer, tmp_path: Any, **more: Any) -> AsyncIterator[Door]:
    """A door whose server `notes` is this one."""
    about = {name: more.pop(name) for name in ("terms", "rules", "era") if name in more}
    async with open_door(tmp_path, **more) as door, serving(door, server, **about):
        yield door


@contextlib.asynccontextmanager
async def serving(
    door: Door, server: RawServer, *, terms: Terms | None = None, rules: Any = RULES, era: Era = Era.MODERN
) -> AsyncIterator[None]:
    """Has the door's server `notes` be this one."""
    servers = Servers(Vault({"1": b"v" * 32}), MemoryRendezvous(), terms or Terms(5, 10, 1 << 20), 1 << 26)
    notes = replace(server.upstream(era), slug="notes", title="Notes")
    door.world = replace(door.world, upstreams=servers)
    door.edge.portal = Portal(door.world)
    door.snapshots.turn(catalogue=catalogue(TOOLS, [notes, upstream("clock")]), policy=Policy(rules, epoch=2))
    try:
        yield
    finally:
        await servers.close()


def add(door: Door, text: str = "hi", *, ident: Any = 1, **more: Any) -> tuple[list[tuple[str, str]], bytes]:
    return modern(
        door.token_of_editor, "tools/call", {"name": "notes_add", "arguments": {"text": text}} | more, ident=ident
    )


async def call(door: Door, line: Line, *arguments: Any, **more: Any) -> Got:
    door.token_of_editor = getattr(door, "token_of_editor", "") or door.token()
    return await line.ask("POST", "/mcp", *add(door, *arguments, **more))


async def answered(asked: Asked, _: Any) -> bytes:
    text = json.dumps(asked.message["params"]["arguments"])
    return http(json.dumps({"jsonrpc": "2.0", "id": asked.message["id"], "result": _content(text)}).encode())


def _content(text: str) -> dict[str, Any]:
    return {"resultType": "complete", "content": [{"type": "text", "text": text}]}


def records(door: Door) -> list[dict[str, Any]]:
    """Of calls, without what is each one's own."""
    own = {"seq", "at", "hash", "call", "decision", "request_id", "arguments_hmac"}
    return [
        {name: value for name, value in line.items() if name not in own}
        for line in door.records()
        if line["event"].startswith("call.")
    ]


async def test_the_second_call_goes_by_a_plan_and_is_like_the_first(tmp_path, planned) -> None:
    async with raw_server(answered) as server, door_to(server, tmp_path) as door, Line(door) as line:
        got = [
            await call(door, line, text, ident=ident) for text, ident in (("one", 1), ("another", "b"), ("third", 3))
        ]
        assert len(planned) == 2
        texts = [json.loads(one.json["result"]["content"][0]["text"])["text"] for one in got]
        assert texts == ["one", "another", "third"]
        assert [one.json["id"] for one in got] == [1, "b", 3]
        first, second, third = ({**one.message, "id": 0} for one in server.asked)
        for one in (first, second, third):
            one["params"] = {**one["params"], "arguments": {}}
        assert first == second == third
        heads = {re.sub(rb"Content-Length: \d+", b"", one.head) for one in server.asked}
        assert len(heads) == 1
        assert len({one.message["id"] for one in server.asked}) == 3


async def test_its_record_says_what_that_of_the_first_says_under_ids_of_its_own(tmp_path, planned) -> None:
    async with raw_server(answered) as server, door_to(server, tmp_path) as door, Line(door) as line:
        for _ in range(2):
            await call(door, line)
        intent, outcome, *others = records(door)
        assert others == [intent, outcome]
        assert len(planned) == 1
        lines = door.records("call.intent")
        assert lines[0]["arguments_hmac"] == lines[1]["arguments_hmac"]
        for own in ("call", "decision", "request_id"):
            assert lines[0][own] != lines[1][own]
        assert lines[1]["call"].endswith(lines[1]["request_id"])  # it begins with the time, which others share
        assert door.telemetry.seen.count(("decided", True)) == 2
        assert [one[:3] for one in door.telemetry.seen if one[0] == "concluded"] == [("concluded", "notes", "ok")] * 2


async def failing(asked: Asked, _: Any) -> bytes:
    return http(result(asked, {**_content("no"), "isError": True}))


async def refusing(asked: Asked, _: Any) -> bytes:
    said = {"jsonrpc": "2.0", "id": asked.message["id"], "error": {"code": -32000, "message": "no"}}
    return http(json.dumps(said).encode())


async def unauthorized(_: Asked, __: Any) -> bytes:
    return http(b"{}", "401 Unauthorized")


async def broken(_: Asked, __: Any) -> bytes:
    return http(b"oops", "500 Internal Server Error")


async def elsewhere(asked: Asked, _: Any) -> bytes:
    asked.message["id"] += 1
    return http(result(asked, _content("another's")))


async def not_json(_: Asked, __: Any) -> bytes:
    return http(b"{")


async def untyped(asked: Asked, _: Any) -> bytes:
    said = {"jsonrpc": "2.0", "id": asked.message["id"], "result": {"content": []}}
    return http(json.dumps(said).encode())


async def hidden(asked: Asked, _: Any) -> bytes:
    return http(result(asked, _content("a\u200bb")))


async def asking(asked: Asked, _: Any) -> bytes:
    form = {"mode": "form", "message": "which?", "requestedSchema": {"type": "object", "properties": {}}}
    wants = {"resultType": "input_required", "inputRequests": {"a": {"method": "elicitation/create", "params": form}}}
    return http(result(asked, wants))


async def streaming(asked: Asked, _: Any) -> bytes:
    return STREAM + event(result(asked, _content("s"))) + LAST


async def cut_short(asked: Asked, writer: asyncio.StreamWriter) -> bytes | None:
    writer.write(http(result(asked, _content("cut")))[:-5])
    writer.close()
    return None


async def too_short(asked: Asked, writer: asyncio.StreamWriter) -> bytes | None:
    """The whole of an answer, of which its head says that there is more."""
    body = result(asked, _content("more"))
    writer.write(http(body + b" " * 9)[:-9])
    writer.close()
    return None


async def gone(_: Asked, writer: asyncio.StreamWriter) -> bytes | None:
    writer.close()
    return None


ENDS = [
    failing, refusing, unauthorized, broken, elsewhere, not_json, untyped, hidden, asking, streaming, cut_short,
    too_short, gone,
]  # fmt: skip


def shown(got: Got) -> tuple[int, Any]:
    """An answer without what is drawn anew each time."""
    text = re.sub(r'"(requestState|dev\.ostiary/decision)": ?"[^"]*"', "", got.body.decode())
    return got.status, text


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
async def test_whatever_its_end_the_client_and_the_record_have_the_same(tmp_path, planned, end: Respond) -> None:
    """Once as the first of its kind and once by a plan."""
    respond = answered

    async def responding(asked: Asked, writer: asyncio.StreamWriter) -> bytes | None:
        return await respond(asked, writer)

    async with raw_server(responding) as server:
        respond = end
        async with door_to(server, tmp_path / "first") as door, Line(door) as line:
            first, recorded = shown(await call(door, line)), records(door)[-2:]
        assert not planned
        respond = answered
        async with door_to(server, tmp_path / "second") as door, Line(door) as line:
            await call(door, line)
            respond = end
            assert shown(await call(door, line)) == first
            assert records(door)[-2:] == recorded
            assert len(planned) == 1
            assert len(door.world.underway) == 0
            assert door.world.upstreams.in_flight == 0
            assert door.world.upstreams.strains()["notes"].under_way == 0
            respond = answered
            assert (await call(door, line)).status == 200


SECOND_BODIES = {
    "a second key": lambda body: body.replace(b'"text":', b'"text": "x", "text":'),
    "a second method": lambda body: body.replace(b'"method":', b'"method": "tools/list", "method":'),
    "a second name": lambda body: body.replace(b'"name":', b'"name": "notes_long", "name":'),
    "arguments that are no object": lambda body: body.replace(b'{"text": "hi"}', b'["text",  "hi"]'),
    "no id that counts": lambda body: body.replace(b'"id": 1', b'"id": null'),
    "an id of its own kind": lambda body: body.replace(b'"id": 1', b'"id": 1.5'),
    "another name than the head says": lambda body: body.replace(b"notes_add", b"notes_long"),
    "another version than the head says": lambda body: body.replace(b"2026-07-28", b"2025-11-25"),
    "an escape": lambda body: body.replace(b'"hi"', b'"\\u0068\\ud800"'),
    "too deep": lambda body: body.replace(b'"hi"', b"[" * 40 + b"]" * 40),
    "nothing after all": lambda body: body[:-1],
}


@pytest.mark.parametrize("change", SECOND_BODIES.values(), ids=list(SECOND_BODIES))
async def test_t_57_what_is_no_call_of_its_kind_is_read_in_all_strictness(tmp_path, planned, change) -> None:
    async with raw_server(answered) as server, door_to(server, tmp_path) as door, Line(door) as line:
        assert (await call(door, line)).status == 200
        headers, body = add(door)
        got = await line.ask("POST", "/mcp", headers, change(body))
        assert got.status == 400
        assert not planned
        assert len(server.asked) == 1


async def test_a_rule_about_the_sign_in_is_asked_for_each_call(tmp_path, planned) -> None:
    rule = Rule(
        id="c", subject="user:editor", object="notes.add", action="call", condition={"assurance": "max_age:3000"}
    )
    async with raw_server(answered) as server, door_to(server, tmp_path, rules=[rule]) as door, Line(door) as line:
        door.token_of_editor = door.token(auth_time=int(time.time()))
        for _ in range(2):
            assert (await call(door, line)).status == 200
        assert not planned
        assert len(server.asked) == 2


async def test_t_84_a_call_by_a_plan_is_taken_back_like_any(tmp_path, planned) -> None:
    held = asyncio.Event()

    async def holding(asked: Asked, writer: asyncio.StreamWriter) -> bytes:
        if len(server.asked) > 1:
            await held.wait()
        return await answered(asked, writer)

    async with raw_server(holding) as server, door_to(server, tmp_path) as door, Line(door) as line:
        await call(door, line)
        await line.send("POST", "/mcp", *add(door))
        await eventually(lambda: len(server.asked) == 2)
        assert len(planned) == 1
        door.snapshots.turn(members={})
        door.world.underway.recall(door.snapshots.current)
        got = await line.answer()
        assert (got.status, got.json["id"]) == (403, 1)
        assert records(door)[-1]["outcome"] == "revoked"
        held.set()
        assert door.world.upstreams.strains()["notes"].under_way == 0
        assert door.world.upstreams.in_flight == 0


async def test_a_client_that_hangs_up_has_cancelled_its_call(tmp_path, planned) -> None:
    async def holding(asked: Asked, writer: asyncio.StreamWriter) -> bytes | None:
        if len(server.asked) == 1:
            return await answered(asked, writer)
        await asyncio.Event().wait()
        return None

    async with raw_server(holding) as server, door_to(server, tmp_path) as door:
        async with Line(door) as line:
            await call(door, line)
            await line.send("POST", "/mcp", *add(door))
            await eventually(lambda: len(server.asked) == 2)
        await eventually(lambda: records(door)[-1].get("outcome") == "cancelled")
        assert len(planned) == 1
        assert len(door.world.underway) == 0


async def test_nothing_leaves_by_a_plan_while_nothing_can_be_recorded(tmp_path, planned, monkeypatch) -> None:
    async with raw_server(answered) as server, door_to(server, tmp_path) as door, Line(door) as line:
        await call(door, line)

        def down(*_: Any, **__: Any) -> None:
            raise JournalDown("full")

        with monkeypatch.context() as patch:
            patch.setattr(type(door.journal), "intend", down)
            assert (await call(door, line)).status == 503
        with monkeypatch.context() as patch:
            patch.setattr(type(door.journal), "conclude", down)
            assert (await call(door, line)).status == 503
        assert len(server.asked) == 2
        assert (await call(door, line)).status == 200
        assert len(planned) == 3
        assert len(door.world.underway) == 0


async def test_a_connection_that_its_server_has_closed_meanwhile_is_not_used(tmp_path, planned) -> None:
    async def closing(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(await answered(asked, writer))
        await writer.drain()
        writer.close()

    async with raw_server(closing) as server, door_to(server, tmp_path) as door, Line(door) as line:
        for _ in range(5):
            assert (await call(door, line)).status in {200, 502}  # the server may close while the call is on its way
            await asyncio.sleep(0.02)
            assert (await call(door, line)).status == 200
        assert len(planned) == 9


async def test_a_new_snapshot_ends_what_was_planned(tmp_path, planned) -> None:
    async with raw_server(answered) as server, door_to(server, tmp_path) as door, Line(door) as line:
        await call(door, line)
        door.snapshots.turn(policy=Policy([], epoch=3))
        assert b"Unknown tool" in (await call(door, line)).body
        assert not planned
        assert len(server.asked) == 1


async def test_a_stale_snapshot_stops_calls_by_a_plan_too(tmp_path, planned) -> None:
    async with raw_server(answered) as server, door_to(server, tmp_path) as door, Line(door) as line:
        await call(door, line)
        door.snapshots.is_fresh = False
        assert (await call(door, line)).status == 503
        assert not planned


@pytest.mark.parametrize(
    "more",
    [
        {"_meta": {"progressToken": 1}},
        {"_meta": {"io.modelcontextprotocol/logLevel": "info"}},
        {"_meta": {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}},
    ],
    ids=["progress", "messages", "a trace"],
)
async def test_who_wants_to_hear_more_than_the_answer_has_no_plan(tmp_path, planned, more) -> None:
    async with raw_server(answered) as server, door_to(server, tmp_path) as door, Line(door) as line:
        for _ in range(2):
            assert (await call(door, line, **more)).status == 200
        assert not planned


async def test_plans_of_one_head_are_few(tmp_path, planned, monkeypatch) -> None:
    monkeypatch.setattr(plans, "MOST", 2)
    async with raw_server(answered) as server, door_to(server, tmp_path) as door, Line(door) as line:
        for number in range(5):
            capabilities = {"io.modelcontextprotocol/clientCapabilities": {"experimental": {f"x{number}": {}}}}
            await call(door, line, _meta=capabilities)
        [head] = door.edge.heads._kept._kept.values()
        assert len(head.found.plans) <= 2


async def holding_the_second(asked: Asked, writer: asyncio.StreamWriter) -> bytes | None:
    if asked.message["params"]["arguments"]["text"] == "first":
        return await answered(asked, writer)
    await asyncio.Event().wait()
    return None


async def test_a_gateway_that_is_told_to_stop_ends_its_calls_by_a_plan(tmp_path, planned) -> None:
    async with raw_server(holding_the_second) as server, door_to(server, tmp_path) as door, Line(door) as line:
        await call(door, line, "first")
        await line.send("POST", "/mcp", *add(door))
        await eventually(lambda: len(server.asked) == 2)
        [known] = planned
        for task in tuple(known.request.line.tasks):
            task.cancel(msg="as uvicorn does it")
        await eventually(lambda: records(door)[-1].get("outcome") == "cancelled")
        assert not known.request.line.tasks


async def test_a_plan_holds_nothing_of_the_call_that_it_was_made_from(tmp_path) -> None:
    async with raw_server(answered) as server, door_to(server, tmp_path) as door, Line(door) as line:
        await call(door, line, "a secret of many bytes")
        [head] = door.edge.heads._kept._kept.values()
        [plan] = head.found.plans.values()
        assert b"secret" not in plan.target.arguments
        assert "arguments" not in plan.way.ask.params


async def test_calls_by_a_plan_leave_nothing_for_the_garbage_collector(tmp_path) -> None:
    async with raw_server(answered) as server, door_to(server, tmp_path) as door, Line(door) as line:
        await call(door, line)
        gc.collect()  # what other tests have left
        gc.disable()
        try:
            for _ in range(5):
                await call(door, line)
            assert not [one for one in gc.get_objects() if isinstance(one, plans.Known)]
        finally:
            gc.enable()


async def test_a_fault_of_ours_on_the_way_out_is_told_as_one_and_leaves_nothing_waiting(
    tmp_path, planned, monkeypatch
) -> None:
    async with raw_server(answered) as server, door_to(server, tmp_path) as door, Line(door) as line:
        await call(door, line)

        def broken(*_: Any) -> None:
            raise ArithmeticError

        with monkeypatch.context() as patch:
            patch.setattr(Way, "trip", broken)
            assert (await call(door, line)).status == 503
        assert not planned[0].request.line.tasks
        assert (await call(door, line)).status == 200
