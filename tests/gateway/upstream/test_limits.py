"""What each server may take: time, calls at once, being asked twice."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream import Answer, Ask, UpstreamBroken, UpstreamBusy, UpstreamSlow, limits
from gateway.upstream.legacy import parking
from gateway.upstream.sharing import Shares
from gateway.upstream.troubles import Trouble
from registry.limits import Limits, ToolLimits
from registry.tables import Era, Transport
from tests.fakes.deadlines import within
from tests.fakes.door import entry, eventually
from tests.fakes.servers.raw import LAST, STREAM, Asked, event, http, principal, raw_server, result
from tests.gateway.upstream.legacy.test_legacy_servers import asking_back
from tests.gateway.upstream.legacy.test_parking import ASKING

SOMEBODY = principal("a")


def call(tool: str = "t", **more: Any) -> Ask:
    return Ask(
        method="tools/call", name=tool, params={"name": json.dumps(tool).encode()}, **{"principal": SOMEBODY} | more
    )


def said_to_be(**annotations: bool) -> Any:
    return entry("raw", "t", prefixed=False, annotations=annotations)


class Held:
    """Answers nothing until it is let go; `arrived` is set with each request."""

    def __init__(self) -> None:
        self.arrived = asyncio.Semaphore(0)
        self.let_go = asyncio.Event()

    async def __call__(self, asked: Asked, writer: asyncio.StreamWriter) -> bytes:
        self.arrived.release()
        await self.let_go.wait()
        return http(result(asked))


async def silent(asked: Asked, writer: asyncio.StreamWriter) -> None:
    """Never answers."""


async def endless(asked: Asked, writer: asyncio.StreamWriter) -> None:
    """Progress for ever."""
    writer.write(STREAM)
    params = {"progressToken": asked.message["id"], "progress": 1}
    while not writer.is_closing():
        writer.write(event({"jsonrpc": "2.0", "method": "notifications/progress", "params": params}))
        await writer.drain()
        await asyncio.sleep(0.02)


async def test_a_server_of_its_own_deadline_is_given_up_by_it(servers, caller):
    """The settings of the fixture say five seconds."""
    async with raw_server(silent) as server:
        upstream = server.upstream(limits=Limits(deadline=0.1))
        async with asyncio.timeout(3):
            with pytest.raises(UpstreamSlow):
                await servers.send(upstream, call(), caller, None)


async def test_a_greeting_takes_no_longer_than_a_call_may(servers, caller):
    """A legacy server that takes the connection and answers nothing, not even `initialize`."""
    async with raw_server(silent) as server:
        upstream = server.upstream(Era.LEGACY, limits=Limits(deadline=0.1))
        async with asyncio.timeout(20):
            with pytest.raises(UpstreamSlow):
                await servers.send(upstream, call(), caller, None)
    assert not server.asked_for("tools/call")


async def test_a_tool_may_have_longer_than_its_server_and_another_has_not(servers, caller):
    async def slowly(asked: Asked, writer: asyncio.StreamWriter) -> bytes:
        await asyncio.sleep(0.3)
        return http(result(asked))

    async with raw_server(slowly) as server:
        upstream = server.upstream(limits=Limits(deadline=0.1, tools={"long": ToolLimits(deadline=4.0)}))
        assert (await servers.send(upstream, call("long"), caller, None)).result
        with pytest.raises(UpstreamSlow):
            await servers.send(upstream, call("other"), caller, None)


async def test_progress_does_not_carry_a_call_over_the_cap(servers, caller):
    async with raw_server(endless) as server:
        upstream = server.upstream(limits=Limits(deadline=1.0, total=1.5))
        async with asyncio.timeout(20):
            with pytest.raises(UpstreamSlow):
                await servers.send(upstream, call(progress=True), caller, None)
    assert caller.heard


async def test_what_a_call_may_take_is_settled_once_per_registration(servers, caller):
    async with raw_server(lambda asked, _: answered(asked)) as server:
        upstream = server.upstream(limits=Limits(tools={"t": ToolLimits(deadline=3.0)}))
        await servers.send(upstream, call(), caller, None)
        gate = servers._gates["raw"]
        plans = [gate.plan(call()) for _ in range(3)]
        assert plans[0] is plans[1] is plans[2]
        assert plans[0].terms.silence == 3.0
        for _ in plans:
            gate.leave(call())


async def answered(asked: Asked) -> bytes:
    return http(result(asked))


async def test_beyond_what_may_be_at_once_calls_are_refused_and_not_queued(servers, caller):
    held = Held()
    async with raw_server(held) as server:
        upstream = server.upstream(limits=Limits(at_once=2))
        calls = [asyncio.create_task(servers.send(upstream, call(), caller, None)) for _ in range(2)]
        for _ in calls:
            await within(held.arrived.acquire(), 20)
        with pytest.raises(UpstreamBusy) as busy:
            await servers.send(upstream, call(), caller, None)
        assert busy.value.trouble is Trouble.FULL
        assert busy.value.retry_after >= 1
        reading = asyncio.create_task(servers.send(upstream, call(principal=None), caller, None))
        await within(held.arrived.acquire(), 20)  # our own looks are not held up
        held.let_go.set()
        await asyncio.gather(*calls, reading)
        assert (await servers.send(upstream, call(), caller, None)).result
        assert servers.strains()["raw"].under_way == 0


async def test_our_own_look_takes_no_place_of_a_caller(servers, caller):
    held = Held()
    async with raw_server(held) as server:
        upstream = server.upstream(limits=Limits(at_once=1))
        both = [
            asyncio.create_task(servers.send(upstream, call(**who), caller, None)) for who in ({"principal": None}, {})
        ]
        for _ in both:
            await within(held.arrived.acquire(), 20)
        held.let_go.set()
        assert all(answer.result for answer in await asyncio.gather(*both))


async def test_a_cancelled_call_frees_its_place(servers, caller):
    held = Held()
    async with raw_server(held) as server:
        upstream = server.upstream(limits=Limits(at_once=1))
        first = asyncio.create_task(servers.send(upstream, call(), caller, None))
        await within(held.arrived.acquire(), 20)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        held.let_go.set()
        assert (await servers.send(upstream, call(), caller, None)).result


async def asks(asked: Asked, writer: asyncio.StreamWriter) -> bytes | None:
    """A legacy server that asks its caller before it answers."""
    if asked.method == "initialize":
        value = {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "s", "version": "1"}}
        return http(result(asked, value))
    if asked.method != "tools/call":
        if "result" in asked.message:  # the answer to the question: the call ends
            waiting, call_writer = asks.waiting.pop()  # type: ignore[attr-defined]
            call_writer.write(event(result(waiting, {"content": []})) + LAST)
        return http(b"", "202 Accepted")
    question = {"mode": "form", "message": "Sure?", "requestedSchema": {"type": "object", "properties": {}}}
    writer.write(STREAM + event({"jsonrpc": "2.0", "id": 7, "method": "elicitation/create", "params": question}))
    asks.waiting.append((asked, writer))  # type: ignore[attr-defined]
    return None


async def test_a_call_that_is_parked_at_a_question_counts_and_its_next_round_is_let_in(servers, caller):
    asks.waiting = []  # type: ignore[attr-defined]
    async with raw_server(asks) as server:
        upstream = server.upstream(Era.LEGACY, limits=Limits(at_once=1))
        asking = call(capabilities=b'{"elicitation":{"form":{}}}', entry=entry("raw", "t", prefixed=False))
        parked = await servers.send(upstream, asking, caller, None)
        state = json.loads(parked.result)["requestState"]
        with pytest.raises(UpstreamBusy) as busy:
            await servers.send(upstream, call(), caller, None)
        assert busy.value.trouble is Trouble.FULL
        more = {
            "requestState": json.dumps(state).encode(),
            "inputResponses": b'{"q1":{"action":"accept","content":{}}}',
        }
        asking.params = {**asking.params, **more}
        done: Answer = await servers.send(upstream, asking, caller, None)
        assert json.loads(done.result)["content"] == []
        assert servers.strains()["raw"].under_way == 0


def dying(times: int) -> Any:
    """Hangs up on a call in the middle of its answer, that many times, then answers."""
    left = [times]

    async def respond(asked: Asked, writer: asyncio.StreamWriter) -> bytes | None:
        if asked.method != "tools/call":
            if asked.method == "initialize":
                about = {"capabilities": {}, "serverInfo": {"name": "s", "version": "1"}}
                return http(result(asked, {"protocolVersion": "2025-11-25", **about}))
            return http(b"", "202 Accepted")
        if left[0]:
            left[0] -= 1
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
            writer.close()
            return None
        return http(result(asked))

    return respond


REPEATED = Limits(tools={"t": ToolLimits(repeat=True)})


@pytest.mark.parametrize("era", list(Era))
@pytest.mark.parametrize("word", ["idempotentHint", "readOnlyHint"])
async def test_an_idempotent_tool_is_asked_again_once_where_that_is_allowed(servers, caller, era, word):
    async with raw_server(dying(1)) as server:
        upstream = server.upstream(era, limits=REPEATED)
        assert (await servers.send(upstream, call(entry=said_to_be(**{word: True})), caller, None)).result
        assert len(server.asked_for("tools/call")) == 2
    async with raw_server(dying(2)) as server:
        with pytest.raises(UpstreamBroken):
            await servers.send(
                server.upstream(era, limits=REPEATED), call(entry=said_to_be(**{word: True})), caller, None
            )
        assert len(server.asked_for("tools/call")) == 2


@pytest.mark.parametrize("era", list(Era))
@pytest.mark.parametrize(
    ("limits", "ask"),
    [
        (Limits(), call(entry=said_to_be(idempotentHint=True))),
        (REPEATED, call(entry=said_to_be(idempotentHint=False))),
        (REPEATED, call(entry=said_to_be())),
        (REPEATED, call()),
        (Limits(tools={"other": ToolLimits(repeat=True)}), call(entry=said_to_be(idempotentHint=True))),
    ],
    ids=["not allowed", "said not to be", "does not say", "nothing approved", "allowed for another tool"],
)
async def test_any_other_call_is_sent_once(servers, caller, era, limits, ask):
    async with raw_server(dying(1)) as server:
        with pytest.raises(UpstreamBroken):
            await servers.send(server.upstream(era, limits=limits), ask, caller, None)
        assert len(server.asked_for("tools/call")) == 1


async def test_a_further_round_of_a_call_is_never_repeated(servers, caller):
    async with raw_server(dying(1)) as server:
        ask = call(entry=said_to_be(idempotentHint=True))
        ask.params = {**ask.params, "inputResponses": b"{}", "requestState": b'"s"'}
        with pytest.raises(UpstreamBroken):
            await servers.send(server.upstream(limits=REPEATED), ask, caller, None)
        assert len(server.asked) == 1


async def test_the_second_attempt_has_what_is_left_of_the_time(servers, caller, monkeypatch):
    engine = servers._engines[Transport.HTTP]
    send, given = engine.send, []

    def noting(server: Any, ask: Ask, down: Any, credential: Any, terms: Any) -> Any:
        given.append(terms.total)
        return send(server, ask, down, credential, terms)

    monkeypatch.setattr(engine, "send", noting)
    async with raw_server(dying(1)) as server:
        ask = call(entry=said_to_be(idempotentHint=True))
        assert (await servers.send(server.upstream(limits=REPEATED), ask, caller, None)).result
    assert len(given) == 2
    assert 0 < given[1] < given[0]


async def test_a_server_that_refuses_a_connection_is_tried_once_more_because_nothing_was_sent(
    servers, caller, monkeypatch
):
    from gateway.egress import pool

    connect, tried = pool._connected, []

    async def refusing_first(ip: str, port: int) -> Any:
        tried.append(ip)
        if len(tried) == 1:
            raise ConnectionRefusedError
        return await connect(ip, port)

    monkeypatch.setattr(pool, "_connected", refusing_first)
    async with raw_server(lambda asked, _: answered(asked)) as server:
        assert (await servers.send(server.upstream(), call(), caller, None)).result
        assert len(server.asked) == 1
    assert len(tried) == 2


async def test_alone_somebody_may_have_every_place_and_leaves_half_to_whoever_comes(servers, caller):
    held = Held()
    async with raw_server(held) as server:
        upstream = server.upstream(limits=Limits(at_once=4))
        ann, bob = principal("ann"), principal("bob")
        calls = [asyncio.create_task(servers.send(upstream, call(principal=ann), caller, None)) for _ in range(4)]
        for _ in calls:
            await held.arrived.acquire()
        with pytest.raises(UpstreamBusy) as full:
            await servers.send(upstream, call(principal=bob), caller, None)
        assert full.value.trouble is Trouble.FULL

        calls[0].cancel()  # a place is free, and it is not hers to take again
        await asyncio.wait({calls[0]})
        with pytest.raises(UpstreamBusy):
            await servers.send(upstream, call(principal=ann), caller, None)
        his = asyncio.create_task(servers.send(upstream, call(principal=bob), caller, None))
        await held.arrived.acquire()

        held.let_go.set()
        assert all(answer.result for answer in await asyncio.gather(*calls[1:], his))
        assert (await servers.send(upstream, call(principal=ann), caller, None)).result
        assert servers.strains()["raw"].under_way == 0


async def test_without_a_limit_the_second_half_of_the_connections_is_shared(servers, caller, monkeypatch):
    monkeypatch.setattr(limits, "CROWDED", 2)
    monkeypatch.setattr(limits, "PER_SERVER", 6)
    held = Held()
    async with raw_server(held) as server:
        upstream = server.upstream()
        ann, bob = principal("ann"), principal("bob")
        calls = [asyncio.create_task(servers.send(upstream, call(principal=ann), caller, None)) for _ in range(6)]
        for _ in calls:
            await held.arrived.acquire()
        with pytest.raises(UpstreamBusy):
            await servers.send(upstream, call(principal=bob), caller, None)
        for one in calls[:2]:
            one.cancel()
        await asyncio.wait(calls[:2])

        with pytest.raises(UpstreamBusy) as full:
            await servers.send(upstream, call(principal=ann), caller, None)
        assert full.value.trouble is Trouble.FULL
        his = [asyncio.create_task(servers.send(upstream, call(principal=bob), caller, None)) for _ in range(2)]
        for _ in his:
            await held.arrived.acquire()
        held.let_go.set()
        assert all(answer.result for answer in await asyncio.gather(*calls[2:], *his))
        assert servers.strains()["raw"].under_way == 0


async def test_nobody_parks_more_calls_at_a_server_than_leave_others_a_way(servers, caller, monkeypatch):
    monkeypatch.setattr(parking, "OF_ONE", 1)
    async with raw_server(asking_back("elicitation/create", message="Name?")) as server:
        upstream = server.upstream(Era.LEGACY)
        told = {"capabilities": ASKING, "entry": said_to_be()}
        first = await servers.send(upstream, call(principal=principal("ann"), **told), caller, None)
        other = await servers.send(upstream, call(principal=principal("bob"), **told), caller, None)
        more = asyncio.create_task(servers.send(upstream, call(principal=principal("ann"), **told), caller, None))
        refused = await eventually(lambda: [one for one in server.asked if one.body and "error" in one.message])
        more.cancel()
        await asyncio.wait({more})
    assert b"input_required" in first.result
    assert b"input_required" in other.result
    assert refused[0].message["id"] == "q-1", "it may not be asked, and its server hears so"


async def test_calls_that_are_parked_are_part_of_somebodys_share(servers, caller):
    async with raw_server(asking_back("elicitation/create", message="Name?")) as server:
        upstream = server.upstream(Era.LEGACY, limits=Limits(at_once=2))
        ann, bob = principal("ann"), principal("bob")
        for who in (ann, bob):
            asked = await servers.send(
                upstream, call(principal=who, capabilities=ASKING, entry=said_to_be()), caller, None
            )
            assert b"input_required" in asked.result
        with pytest.raises(UpstreamBusy):
            await servers.send(upstream, call(principal=ann, capabilities=ASKING), caller, None)


@given(
    steps=st.lists(st.tuples(st.sampled_from("abcd"), st.booleans()), max_size=60),
    most=st.integers(min_value=1, max_value=9),
)
def test_shares_are_never_more_than_there_is_and_whoever_has_none_gets_one(
    steps: list[tuple[str, bool]], most: int
) -> None:
    """Of a free place at least: with as many places as people nobody is kept out by those who have more."""
    shares, held = Shares(lambda: 0.0), Counter[str]()
    for who, comes in steps:
        if comes:
            free = held.total() < most
            may = shares.may_enter(who, most, [])
            assert may or not (free and held[who] == 0)
            if may:
                assert free
                shares.enter(who)
                held[who] += 1
        elif held[who]:
            shares.leave(who)
            held[who] -= 1
    assert bool(shares) is (held.total() > 0)
