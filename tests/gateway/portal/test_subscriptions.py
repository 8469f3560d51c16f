"""subscriptions/listen."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import replace
from types import SimpleNamespace

from authz.policy.policy import Policy
from authz.tables import Rule
from authz.tokens.cutoffs import Cut, CutOffs
from gateway.credentials import Asked, ConnectionNeeded, Held
from gateway.portal.listening import hearing
from gateway.upstream import FeedEvent
from gateway.upstream.refreshing.news import spread
from registry.catalogue import Credential
from registry.credentials.modes.oauth import OAuthPersonSettings
from registry.tables import Auth
from tests.fakes.deadlines import within
from tests.fakes.door import NOTES, RULES, Line, ask, catalogue, eventually, modern, open_door, upstream

ALL = {"toolsListChanged": True, "promptsListChanged": True, "resourcesListChanged": True}
TAG = "io.modelcontextprotocol/subscriptionId"


async def listening(door, line: Line, wish: object, **token):
    headers, body = modern(door.token(**token), "subscriptions/listen", {"notifications": wish}, ident="sub-1")
    await line.send("POST", "/mcp", headers, body)
    assert (await line.head()).headers["content-type"] == "text/event-stream"
    event = await line.event()
    assert event["method"] == "notifications/subscriptions/acknowledged"
    assert event["params"]["_meta"] == {TAG: "sub-1"}
    return event["params"]["notifications"]


def without(name: str) -> Policy:
    return Policy([*RULES, Rule(id="r9", subject="user:editor", object=name, action="*", effect="deny")], epoch=2)


async def test_the_acknowledgement_says_what_is_granted(tmp_path) -> None:
    async with open_door(tmp_path) as door, Line(door) as line:
        wish = {
            **ALL,
            "promptsListChanged": False,
            "unheardOf": True,
            "resourceSubscriptions": ["note://one", "note://NO"],
        }
        granted = await listening(door, line, wish)
        assert granted == {
            "toolsListChanged": True,
            "resourcesListChanged": True,
            "resourceSubscriptions": ["note://one"],
        }


async def test_a_list_that_changed_for_this_principal_is_told_and_no_other(tmp_path) -> None:
    async with open_door(tmp_path) as door, Line(door) as mine, Line(door) as theirs:
        await listening(door, mine, ALL)
        await listening(door, theirs, ALL, who="reader")
        door.snapshots.turn(policy=without("clock.now"))
        event = await mine.event()
        assert event == {
            "jsonrpc": "2.0",
            "method": "notifications/tools/list_changed",
            "params": {"_meta": {TAG: "sub-1"}},
        }
        door.snapshots.turn(policy=Policy(RULES[:4], epoch=3))
        assert (await theirs.event())["method"] == "notifications/tools/list_changed"


async def test_only_resources_that_were_asked_for_are_told(tmp_path) -> None:
    async with open_door(tmp_path) as door, Line(door) as line:
        await listening(door, line, {"resourceSubscriptions": ["note://one"]})
        for uri in ("note://other", "note://one"):
            door.upstreams.feeds.put_nowait(FeedEvent("notes", "notifications/resources/updated", uri))
        event = await line.event()
        assert event["params"] == {"uri": "note://one", "_meta": {TAG: "sub-1"}}


async def test_a_stream_ends_with_its_token_and_says_so(tmp_path, monkeypatch) -> None:
    async with open_door(tmp_path) as door, Line(door) as line:
        monkeypatch.setattr("authz.tokens.access.LEEWAY", 0)
        await listening(door, line, ALL, life=1)
        event = await within(line.event(), 40)
        assert event == {"jsonrpc": "2.0", "id": "sub-1", "result": {"resultType": "complete", "_meta": {TAG: "sub-1"}}}
        assert await line.chunk() == b""


async def test_a_cut_off_ends_the_stream(tmp_path) -> None:
    async with open_door(tmp_path) as door, Line(door) as line:
        await listening(door, line, ALL)
        door.snapshots.turn(cutoffs=CutOffs({(Cut.PERSON, "editor"): 1e12}))
        assert (await line.event())["result"]["resultType"] == "complete"


async def test_hanging_up_forgets_the_listener(tmp_path) -> None:
    async with open_door(tmp_path) as door:
        for _ in range(60):
            async with Line(door) as line:
                await listening(door, line, ALL)


async def test_a_wish_that_is_none_is_refused(tmp_path) -> None:
    async with open_door(tmp_path) as door:
        for wish in (None, [], {"resourceSubscriptions": "note://one"}, {"resourceSubscriptions": ["x"] * 500}):
            got = await ask(door, "subscriptions/listen", {"notifications": wish})
            assert (got.status, got.json["error"]["code"]) == (400, -32602)


async def test_a_door_that_closes_ends_its_streams_first(tmp_path) -> None:
    async with open_door(tmp_path) as door:
        line = Line(door)
        await line.__aenter__()
        await listening(door, line, ALL)
    event = await line.event()
    assert event["result"]["resultType"] == "complete"
    await line.__aexit__()


async def test_what_a_server_says_of_its_lists_is_passed_on_to_who_sees_anything_of_it(tmp_path) -> None:
    async with open_door(tmp_path) as door, Line(door) as mine, Line(door) as theirs:
        await listening(door, mine, {"toolsListChanged": True})
        await listening(door, theirs, ALL, who="reader")
        for method in ("notifications/prompts/list_changed", "notifications/tools/list_changed"):
            await spread(door.world.rendezvous, "clock", [method])
        assert (await mine.event())["method"] == "notifications/tools/list_changed"
        await spread(door.world.rendezvous, "notes", ["notifications/prompts/list_changed"])
        assert (await theirs.event())["method"] == "notifications/prompts/list_changed"


async def test_a_server_that_says_so_all_the_time_is_passed_on_once_in_a_while(tmp_path) -> None:
    async with open_door(tmp_path) as door, Line(door) as line:
        await listening(door, line, ALL)
        for _ in range(50):
            await spread(door.world.rendezvous, "notes", ["notifications/tools/list_changed"])
        await spread(door.world.rendezvous, "notes", ["notifications/prompts/list_changed"])
        assert [(await line.event())["method"] for _ in range(2)] == [
            "notifications/tools/list_changed",
            "notifications/prompts/list_changed",
        ]


async def test_a_list_that_changes_with_time_alone_is_told(tmp_path) -> None:
    async with open_door(tmp_path) as door, Line(door) as line:
        soon = time.time() + 0.5
        grant = Rule(id="g1", subject="user:reader", object="clock.now", action="call", ends_at=soon)
        door.snapshots.turn(policy=Policy([*RULES, grant], epoch=2))
        await listening(door, line, {"toolsListChanged": True}, who="reader")
        assert (await within(line.event(), 10))["method"] == "notifications/tools/list_changed"
        assert time.time() >= soon


async def test_a_stream_outlives_the_servers_behind_it_and_says_when_they_are_back(tmp_path) -> None:
    async with open_door(tmp_path) as door, Line(door) as line:
        await listening(door, line, {"toolsListChanged": True})
        there = door.snapshots.current.catalogue
        gone = {slug: replace(each, stale_since=1.0) for slug, each in there.upstreams.items()}
        door.snapshots.turn(catalogue=replace(there, upstreams=gone))
        assert (await line.event())["method"] == "notifications/tools/list_changed"
        door.snapshots.turn(catalogue=there)
        assert (await line.event())["method"] == "notifications/tools/list_changed"


async def test_a_server_is_heard_only_with_an_account_that_is_still_connected(tmp_path, monkeypatch) -> None:
    """Ended, the stream with it closes; connected again, another opens with the new one and nothing else."""
    monkeypatch.setattr(hearing, "WITHOUT", 0.05)
    heard: list[bytes] = []
    ended: list[bytes] = []

    async def events(_server, _who, _uris, credential):
        heard.append(credential.value)
        try:
            while True:
                yield await feeds.get()
        finally:
            ended.append(credential.value)

    async with open_door(tmp_path) as door, Line(door) as line:
        feeds, held = asyncio.Queue[FeedEvent](), door.world.credentials
        door.upstreams.events = events
        notes = replace(upstream("notes"), auth=Auth.OAUTH_PERSON, auth_settings=OAuthPersonSettings())
        door.snapshots.turn(catalogue=catalogue(NOTES, [notes, upstream("clock")]))
        accounts = ["the-first"]

        def obtain(asked: Asked) -> Held:
            if not accounts:
                raise ConnectionNeeded("notes", asked.subject, "connect it")
            value = accounts[-1].encode()
            origin, who = "http://127.0.0.1:9", asked.subject
            return Held(
                credential=Credential(server="notes", origin=origin, header=b"a", value=value, subject=who),
                renew_at=math.inf,
            )

        held._sources = SimpleNamespace(of=lambda _: SimpleNamespace(obtain=obtain))
        await listening(door, line, {"resourceSubscriptions": ["note://one"]})
        await eventually(lambda: heard == [b"the-first"])
        accounts.clear()
        door.snapshots.turn(cutoffs=CutOffs({(Cut.CONNECTION, "notes/editor"): time.time()}))
        await eventually(lambda: ended == [b"the-first"])
        accounts.append("the-second")
        await eventually(lambda: heard == [b"the-first", b"the-second"], within=30)
        feeds.put_nowait(FeedEvent("notes", "notifications/resources/updated", "note://one"))
        while (event := await line.event())["method"] != "notifications/resources/updated":
            pass
        assert event["params"]["uri"] == "note://one"
