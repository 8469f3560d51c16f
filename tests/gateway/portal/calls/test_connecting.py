"""A call that needs an account first, before servers that are scripted and credentials that are the test's own."""

from __future__ import annotations

import asyncio
import base64
import json
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from authz.policy.policy import Policy
from authz.principals import Member
from authz.tables import Rule
from gateway.credentials import ConnectionNeeded, CredentialUnavailable
from gateway.credentials.connections.links import LinkRefused, Ticket, link, read_ticket
from gateway.credentials.connections.news import Connected, spread
from gateway.portal.calls import connecting
from gateway.upstream import Answer
from gateway.upstream.messages import CredentialRefused
from registry.catalogue import Credential
from registry.credentials.modes.oauth import OAuthPersonSettings
from registry.tables import Auth
from tests.fakes.door import NOTES, Door, Got, Legacy, Line, ask, catalogue, eventually, modern, open_door, upstream
from tests.gateway.portal.test_two_processes import two_doors

if TYPE_CHECKING:
    from gateway.upstream import Ask

ADD = {"name": "notes_add", "arguments": {"text": "hi"}}
URLS = {"io.modelcontextprotocol/clientCapabilities": {"elicitation": {"url": {}}}}
WITH_URLS = {**ADD, "_meta": URLS}
DONE = Answer(result=b'{"resultType":"complete","content":[]}')


class Purse:
    """In place of the credentials of a door: who has connected what, and what was asked for."""

    def __init__(self, door: Door, why: str = "connect your account") -> None:
        self.why = why
        self.connected: set[str] = set()
        self.at_hand_for: set[str] = set()
        self.events_when_asked: list[str] = []
        self.door = door
        self.again_gives: Any = None
        self.again_asked = 0
        self.value = b"Bearer x"
        server = replace(upstream("notes"), auth=Auth.OAUTH_PERSON, auth_settings=OAuthPersonSettings())
        door.snapshots.turn(catalogue=catalogue(NOTES, [server, upstream("clock")]))
        for name in ("at_hand", "obtain", "again"):
            setattr(door.world.credentials, name, getattr(self, name))

    def credential(self, subject: str) -> Credential:
        return Credential("notes", "http://127.0.0.1:9", b"authorization", self.value, subject=subject)

    def at_hand(self, _snapshot: Any, _upstream: Any, principal: Any, _object: str = "") -> Credential | None:
        return self.credential(principal.subject) if principal.subject in self.at_hand_for else None

    async def obtain(self, server: Any, principal: Any, _object: str = "") -> Credential:
        await asyncio.sleep(0)
        self.events_when_asked += [line["event"] for line in self.door.records()]
        if principal.subject not in self.connected:
            raise ConnectionNeeded(server.slug, principal.subject, self.why, scopes=frozenset({"write"}))
        return self.credential(principal.subject)

    async def again(self, *_: object) -> Credential:
        self.again_asked += 1
        if isinstance(self.again_gives, Exception):
            raise self.again_gives
        return self.credential("editor")


def asked_of(got: Got) -> tuple[dict[str, Any], str]:
    """The one question in an answer, and the state that goes with it."""
    result = got.json["result"]
    assert result["resultType"] == "input_required"
    assert set(result["inputRequests"]) == {connecting.KEY}
    return result["inputRequests"][connecting.KEY], result["requestState"]


def retry(state: str, action: str = "accept", **more: Any) -> dict[str, Any]:
    return {**WITH_URLS, "requestState": state, "inputResponses": {connecting.KEY: {"action": action}}, **more}


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connecting, "PATIENCE", 0.0)
    monkeypatch.setattr(connecting, "LOOK", 0.01)


async def test_a_modern_client_is_led_to_the_page_and_nothing_leaves(tmp_path) -> None:
    async with open_door(tmp_path) as door:
        Purse(door)
        question, _ = asked_of(await ask(door, "tools/call", WITH_URLS))
        assert question["method"] == "elicitation/create"
        assert question["params"]["mode"] == "url"
        assert question["params"]["message"].startswith("[Notes] ")
        assert "Connect your account" in question["params"]["message"]
        assert question["params"]["url"].startswith(f"{door.base}/connect/notes?ticket=")
        assert set(question["params"]) == {"mode", "message", "url"}
        assert door.upstreams.asks == []
        assert door.records("call.intent") == []
        (record,) = door.records("call.refused")
        assert (record["who"], record["object"], record["reason"]) == ("user:editor", "notes.add", "not-connected")


async def test_the_link_names_the_caller_to_us_alone(tmp_path) -> None:
    async with open_door(tmp_path) as door:
        Purse(door)
        url = asked_of(await ask(door, "tools/call", WITH_URLS))[0]["params"]["url"]
        text = parse_qs(urlsplit(url).query)["ticket"][0]
        opened = base64.urlsafe_b64decode(text + "==")
        assert b"editor" not in opened
        assert b"notes" not in opened
        ticket = read_ticket(door.vault, "notes", text)
        assert (ticket.subject, ticket.client, ticket.object) == ("editor", "app", "notes.add")
        assert ticket.scopes == ("write",)
        for slug, given in (
            ("clock", text),
            ("notes", text[:-2] + "AA"),
            ("notes", ""),
            ("notes", "é"),
            ("notes", "A" * 9999),
        ):
            with pytest.raises(LinkRefused):
                read_ticket(door.vault, slug, given)


async def test_a_link_works_for_half_an_hour(tmp_path, monkeypatch) -> None:
    async with open_door(tmp_path) as door:
        text = link(door.vault, "", "notes", Ticket("editor")).partition("=")[2]
        assert read_ticket(door.vault, "notes", text).subject == "editor"
        import time

        real = time.time
        monkeypatch.setattr("gateway.credentials.connections.links.time.time", lambda: real() + 1801)
        with pytest.raises(LinkRefused):
            read_ticket(door.vault, "notes", text)


async def test_the_retry_works_once_the_account_is_connected_and_the_server_hears_nothing_of_it(tmp_path) -> None:
    async with open_door(tmp_path) as door:
        purse = Purse(door)
        _, state = asked_of(await ask(door, "tools/call", WITH_URLS))
        purse.connected.add("editor")
        got = await ask(door, "tools/call", retry(state))
        assert got.json["result"]["content"][0]["text"] == '{"text": "hi"}'
        (left,) = door.upstreams.asks
        assert set(left.params) == {"name", "arguments"}
        again = await ask(door, "tools/call", retry(state))
        assert again.json["error"]["code"] == -32602


async def test_the_retry_may_come_to_another_process_and_counts_once_in_all(tmp_path) -> None:
    async with two_doors(tmp_path) as (one, other):
        Purse(one)
        purse = Purse(other)
        _, state = asked_of(await ask(one, "tools/call", WITH_URLS))
        purse.connected.add("editor")
        assert (await ask(other, "tools/call", retry(state))).json["result"]["content"]
        for door in (one, other):
            assert (await ask(door, "tools/call", retry(state))).json["error"]["code"] == -32602
        assert one.upstreams.asks == []


async def test_a_retry_waits_for_the_person_who_is_still_on_the_page(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(connecting, "LOOK", 0.01)
    async with open_door(tmp_path) as door:
        purse = Purse(door)
        _, state = asked_of(await ask(door, "tools/call", WITH_URLS))
        before = len(purse.events_when_asked)
        waiting = asyncio.create_task(ask(door, "tools/call", retry(state)))
        await eventually(lambda: len(purse.events_when_asked) > before + 3)
        assert door.upstreams.asks == []
        purse.connected.add("editor")
        assert (await waiting).json["result"]["content"]


async def test_whoever_is_not_done_in_time_is_asked_again(tmp_path, at_once) -> None:
    async with open_door(tmp_path) as door:
        Purse(door)
        _, first = asked_of(await ask(door, "tools/call", WITH_URLS))
        _, second = asked_of(await ask(door, "tools/call", retry(first)))
        assert second != first
        assert door.upstreams.asks == []


@pytest.mark.parametrize("action", ["decline", "cancel"])
async def test_whoever_says_no_is_not_asked_again(tmp_path, action: str) -> None:
    async with open_door(tmp_path) as door:
        Purse(door)
        _, state = asked_of(await ask(door, "tools/call", WITH_URLS))
        result = (await ask(door, "tools/call", retry(state, action))).json["result"]
        assert result["isError"] is True
        assert door.upstreams.asks == []
        assert [line["reason"] for line in door.records("call.refused")] == ["not-connected", "declined"]


@pytest.mark.parametrize("told", [{}, {"elicitation": {}}, {"elicitation": {"form": {}}}])
async def test_a_modern_client_that_opens_no_urls_gets_the_link_in_words(tmp_path, told: dict[str, Any]) -> None:
    async with open_door(tmp_path) as door:
        Purse(door)
        params = {**ADD, "_meta": {"io.modelcontextprotocol/clientCapabilities": told}}
        result = (await ask(door, "tools/call", params)).json["result"]
        assert result["isError"] is True
        text = result["content"][0]["text"]
        assert text.startswith("[Notes] ")
        assert f"{door.base}/connect/notes?ticket=" in text


@pytest.mark.parametrize("version", ["2025-11-25", "2025-06-18", "2025-03-26"])
async def test_an_older_client_that_opens_no_urls_gets_the_link_in_words(tmp_path, version: str) -> None:
    async with open_door(tmp_path) as door:
        Purse(door)
        told = {} if version == "2025-11-25" else {"elicitation": {"url": {}}}
        async with Legacy(door, version=version, **told) as client:
            result = (await client.say("tools/call", ADD)).json["result"]
            assert result["isError"] is True
            assert "resultType" not in result
            assert f"{door.base}/connect/notes?ticket=" in result["content"][0]["text"]


async def test_2025_11_25_has_an_error_of_its_own_for_it(tmp_path) -> None:
    async with open_door(tmp_path) as door:
        purse = Purse(door)
        async with Legacy(door, elicitation={"url": {}}) as client:
            error = (await client.say("tools/call", ADD)).json["error"]
            assert error["code"] == -32042
            (asked,) = error["data"]["elicitations"]
            assert asked["mode"] == "url"
            assert asked["message"].startswith("[Notes] ")
            assert asked["url"].startswith(f"{door.base}/connect/notes?ticket=")
            again = (await client.say("tools/call", ADD)).json["error"]["data"]["elicitations"][0]
            assert again["elicitationId"] == asked["elicitationId"]
            purse.connected.add("editor")
            assert (await client.say("tools/call", ADD)).json["result"]["content"]


async def test_2025_11_25_is_told_when_it_is_done(tmp_path) -> None:
    async with open_door(tmp_path) as door, AsyncExitStack() as stack:
        Purse(door)
        client = await stack.enter_async_context(Legacy(door, elicitation={"url": {}}))
        other = await stack.enter_async_context(Legacy(door, "reader", elicitation={"url": {}}))
        ident = (await client.say("tools/call", ADD)).json["error"]["data"]["elicitations"][0]["elicitationId"]
        for one in (client, other):
            await one.send("GET", "/mcp", one.headers)
            await one.head()
        await eventually(lambda: door.world.rendezvous._topics.get("connected"))
        for news in (Connected("notes", "reader"), Connected("notes", "editor")):
            await spread(door.world.rendezvous, news)
        told = await client.event()
        assert told["method"] == "notifications/elicitation/complete"
        assert told["params"] == {"elicitationId": ident}
        assert (await other.event())["params"]["elicitationId"] != ident


async def test_prompts_and_resources_are_answered_with_an_error_that_has_the_link(tmp_path) -> None:
    async with open_door(tmp_path) as door:
        Purse(door)
        for method, params in (("prompts/get", {"name": "notes_ask"}), ("resources/read", {"uri": "note://one"})):
            error = (await ask(door, method, params)).json["error"]
            assert error["code"] == 4030
            assert error["data"]["url"].startswith(f"{door.base}/connect/notes?ticket=")
            asked_of(await ask(door, method, {**params, "_meta": URLS}))
        completion = {"ref": {"type": "ref/prompt", "name": "notes_ask"}, "argument": {"name": "x", "value": "y"}}
        error = (await ask(door, "completion/complete", {**completion, "_meta": URLS})).json["error"]
        assert error["code"] == 4030


async def test_what_was_answered_to_the_server_before_is_not_lost(tmp_path) -> None:
    question = b'{"q":{"method":"elicitation/create","params":{"message":"?"}}}'

    async def rounds(_server: Any, left: Ask, _down: Any) -> Answer:
        if "requestState" in left.params:
            return DONE
        return Answer(result=b'{"resultType":"input_required","inputRequests":%s,"requestState":"theirs"}' % question)

    async with open_door(tmp_path) as door:
        door.upstreams.script = rounds
        purse = Purse(door)
        purse.at_hand_for.add("editor")
        theirs = (await ask(door, "tools/call", WITH_URLS)).json["result"]["requestState"]
        answered = {"q": {"action": "accept", "content": {"x": 1}}}
        _, ours = asked_of(
            await ask(door, "tools/call", {**WITH_URLS, "requestState": theirs, "inputResponses": answered})
        )
        purse.connected.add("editor")
        assert (await ask(door, "tools/call", retry(ours))).json["result"]["resultType"] == "complete"
        left = door.upstreams.asks[-1]
        assert json.loads(left.params["requestState"]) == "theirs"
        assert json.loads(left.params["inputResponses"]) == answered


async def test_a_large_answer_does_not_go_round_with_the_client(tmp_path) -> None:
    async with open_door(tmp_path) as door:
        Purse(door)
        said = {"q": {"action": "accept", "content": {"x": "x" * connecting.HELD_LIMIT}}}
        result = (await ask(door, "tools/call", {**WITH_URLS, "inputResponses": said})).json["result"]
        assert result["isError"] is True


async def test_t_55_the_state_is_nobody_elses(tmp_path, at_once) -> None:
    async with open_door(tmp_path) as door:
        purse = Purse(door)
        _, state = asked_of(await ask(door, "tools/call", WITH_URLS))
        purse.connected |= {"editor", "reader"}
        for params, who in (
            (retry(state), "reader"),
            (retry(state, arguments={"text": "ho"}), "editor"),
            (retry(state, name="notes_delete"), "editor"),
        ):
            got = await ask(door, "tools/call", params, who=who)
            assert got.json["error"]["code"] == -32602
        assert door.upstreams.asks == []


async def test_the_credential_is_there_before_the_intent_and_a_call_that_has_one_asks_nobody(tmp_path) -> None:
    async with open_door(tmp_path) as door:
        purse = Purse(door)
        purse.connected.add("editor")
        assert (await ask(door, "tools/call", ADD)).status == 200
        assert "call.intent" not in purse.events_when_asked
        purse.at_hand_for.add("editor")
        asked = len(purse.events_when_asked)
        assert (await ask(door, "tools/call", ADD)).status == 200
        assert len(purse.events_when_asked) == asked
        assert len(door.records("call.intent")) == 2


async def test_t_84_what_is_revoked_while_a_credential_is_fetched_does_not_leave(tmp_path) -> None:
    async with open_door(tmp_path) as door:
        purse = Purse(door)
        purse.connected.add("editor")
        waits = asyncio.Event()

        async def slow(server: Any, principal: Any, object_: str = "") -> Credential:
            await waits.wait()
            return await purse.obtain(server, principal, object_)

        door.world.credentials.obtain = slow  # type: ignore[method-assign]
        calling = asyncio.create_task(ask(door, "tools/call", ADD))
        await eventually(lambda: door.telemetry.seen)
        door.snapshots.turn(members={})
        waits.set()
        got = await calling
        assert (got.status, got.json["error"]["code"]) == (403, 4030)
        assert door.upstreams.asks == []
        assert door.records("call.intent") == []
        assert door.records("call.refused")[-1]["reason"] == "revoked"


async def test_a_credential_that_cannot_be_had_is_no_connection_to_make(tmp_path) -> None:
    async with open_door(tmp_path) as door:
        purse = Purse(door)

        async def down(*_: object) -> Credential:
            raise CredentialUnavailable("its authorization server does not answer")

        purse.door.world.credentials.obtain = down  # type: ignore[method-assign]
        got = await ask(door, "tools/call", WITH_URLS)
        assert got.status == 502
        assert "authorization server" in got.json["error"]["message"]
        assert door.records("call.refused")[-1]["reason"] == "no-credential"
        assert door.upstreams.asks == []


def refused_times(number: int) -> Any:
    left = number

    async def script(*_: object) -> Answer:
        nonlocal left
        left -= 1
        if left >= 0:
            raise CredentialRefused("the server refused what it was sent")
        return DONE

    return script


async def test_what_a_server_refuses_is_renewed_once(tmp_path) -> None:
    async with open_door(tmp_path) as door:
        purse = Purse(door)
        purse.at_hand_for.add("editor")
        door.upstreams.script = refused_times(1)
        assert (await ask(door, "tools/call", ADD)).json["result"]["content"] == []
        door.upstreams.script = refused_times(5)
        got = await ask(door, "tools/call", ADD)
        assert got.status == 502
        assert (purse.again_asked, len(door.upstreams.asks)) == (2, 4)
        assert [line["outcome"] for line in door.records("call.outcome")] == ["ok", "broken"]


async def test_what_a_server_refuses_for_good_leads_to_the_page(tmp_path) -> None:
    async with open_door(tmp_path) as door:
        purse = Purse(door)
        purse.at_hand_for.add("editor")
        purse.again_gives = ConnectionNeeded("notes", "editor", "it has ended there; connect it again")
        door.upstreams.script = refused_times(1)
        question, _ = asked_of(await ask(door, "tools/call", WITH_URLS))
        assert "It has ended there" in question["params"]["message"]
        assert [line["outcome"] for line in door.records("call.outcome")] == ["not-connected"]


async def test_a_retry_does_not_go_to_the_server_with_what_was_not_good_enough(tmp_path, monkeypatch) -> None:
    """A scope that is missing, a value that is refused: until there is another credential nothing is tried again."""
    monkeypatch.setattr(connecting, "LOOK", 0.01)
    async with open_door(tmp_path) as door:
        purse = Purse(door)
        purse.connected.add("editor")
        purse.again_gives = ConnectionNeeded("notes", "editor", "more is wanted", scopes=frozenset({"write"}))
        door.upstreams.script = refused_times(1)
        _, state = asked_of(await ask(door, "tools/call", WITH_URLS))
        before, sent = len(purse.events_when_asked), len(door.upstreams.asks)
        waiting = asyncio.create_task(ask(door, "tools/call", retry(state)))
        await eventually(lambda: len(purse.events_when_asked) > before + 3)
        assert len(door.upstreams.asks) == sent
        purse.value = b"Bearer wider"
        assert (await waiting).json["result"]["content"] == []


async def test_what_was_wanted_is_still_known_when_somebody_takes_long(tmp_path, at_once) -> None:
    async with open_door(tmp_path) as door:
        purse = Purse(door)
        purse.connected.add("editor")
        purse.again_gives = ConnectionNeeded("notes", "editor", "more is wanted", scopes=frozenset({"write", "admin"}))
        door.upstreams.script = refused_times(1)
        _, state = asked_of(await ask(door, "tools/call", WITH_URLS))
        for _ in range(2):
            question, state = asked_of(await ask(door, "tools/call", retry(state)))
            assert "More is wanted" in question["params"]["message"]
            ticket = parse_qs(urlsplit(question["params"]["url"]).query)["ticket"][0]
            assert read_ticket(door.vault, "notes", ticket).scopes == ("admin", "write")
        assert len(door.upstreams.asks) == 1


async def test_the_shared_account_is_an_administrators_to_connect(tmp_path) -> None:
    async with open_door(tmp_path) as door:
        purse = Purse(door)

        async def shared(*_: object) -> Credential:
            raise ConnectionNeeded("notes", "", "an administrator has to connect the shared account")

        purse.door.world.credentials.obtain = shared  # type: ignore[method-assign]
        result = (await ask(door, "tools/call", WITH_URLS)).json["result"]
        assert result["isError"] is True
        text = result["content"][0]["text"]
        assert "administrator" in text
        assert f"{door.base}/connect/notes/shared." in text
        assert "ticket" not in text


async def test_an_agent_of_its_own_has_no_account_and_is_told_so(tmp_path) -> None:
    async with open_door(tmp_path) as door:
        Purse(door)
        member = Member("editor", "agent:nightly", {})
        rules = [Rule(id="r9", subject="agent:nightly", object="notes.*", action="*")]
        door.snapshots.turn(members={"editor": member}, policy=Policy(rules, epoch=2))
        result = (await ask(door, "tools/call", WITH_URLS)).json["result"]
        assert result["isError"] is True
        assert "delegation" in result["content"][0]["text"]
        assert "/connect/" not in result["content"][0]["text"]


async def test_t_53_a_need_of_somebody_else_leads_nobody_anywhere(tmp_path) -> None:
    async with open_door(tmp_path) as door:
        purse = Purse(door)

        async def anothers(*_: object) -> Credential:
            raise ConnectionNeeded("notes", "reader", "connect it")

        purse.door.world.credentials.obtain = anothers  # type: ignore[method-assign]
        body = (await ask(door, "tools/call", WITH_URLS)).body
        assert b"/connect/" not in body


async def test_a_call_without_a_need_is_as_it_was(tmp_path) -> None:
    async with open_door(tmp_path) as door, Line(door) as line:
        Purse(door)
        headers, body = modern(door.token(), "tools/call", {"name": "clock_now"})
        assert (await line.ask("POST", "/mcp", headers, body)).status == 200
        assert [one.slug for one in door.upstreams.servers] == ["clock"]
