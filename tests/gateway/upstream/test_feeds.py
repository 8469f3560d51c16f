"""What changes at a server reaches whoever listens, over one stream."""

import asyncio

import pytest

from gateway.upstream import FeedEvent, feeds
from gateway.upstream.following import TASK
from registry.tables import Era
from tests.fakes.deadlines import within
from tests.fakes.door import eventually
from tests.fakes.servers.raw import STREAM, Asked, chunk, event, http, raw_server, result

TOOLS = "notifications/tools/list_changed"
UPDATED = "notifications/resources/updated"
CHANGING = {"tools": {"listChanged": True}, "resources": {"subscribe": True}}


class Streaming:
    """A server whose streams a test writes on."""

    def __init__(self, *, get: str = "200 OK") -> None:
        self.get = get
        self.streams: asyncio.Queue[tuple[Asked, asyncio.StreamWriter]] = asyncio.Queue()
        self.told: list[dict] = []

    async def __call__(self, asked: Asked, writer: asyncio.StreamWriter) -> bytes | None:
        if asked.method == "initialize":
            value = {
                "protocolVersion": "2025-11-25",
                "capabilities": CHANGING,
                "serverInfo": {"name": "s", "version": "1"},
            }
            return http(result(asked, value), extra="Mcp-Session-Id: s\r\n")
        if asked.line.startswith("GET") and self.get != "200 OK":
            return http(b"", self.get)
        if asked.line.startswith("GET") or asked.method == "subscriptions/listen":
            writer.write(STREAM + chunk(b": here\n\n"))
            await writer.drain()
            self.streams.put_nowait((asked, writer))
            return None
        if asked.body:
            self.told.append(asked.message)
        return http(result(asked, {})) if asked.body and "id" in asked.message else http(b"", "202 Accepted")

    async def next(self) -> tuple[Asked, asyncio.StreamWriter]:
        return await within(self.streams.get(), 20)


def note(method: str, **params: object) -> bytes:
    return event({"jsonrpc": "2.0", "method": method, "params": params})


class Ear:
    """One who listens."""

    def __init__(self, servers, upstream, uris: frozenset[str] = frozenset()) -> None:
        self.heard: asyncio.Queue[FeedEvent] = asyncio.Queue()
        self.task = asyncio.create_task(self._listen(servers.events(upstream, None, uris, None)))

    async def _listen(self, events) -> None:
        async for one in events:
            self.heard.put_nowait(one)

    async def next(self) -> FeedEvent:
        return await within(self.heard.get(), 20)

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(feeds, "FIRST_PAUSE", 0.02)


@pytest.mark.parametrize("era", list(Era))
async def test_one_stream_serves_all_who_listen(servers, era):
    streaming = Streaming()
    async with raw_server(streaming) as server:
        upstream = server.upstream(era, capabilities=CHANGING)
        ears = [Ear(servers, upstream) for _ in range(3)]
        _, writer = await streaming.next()
        writer.write(note(TOOLS))
        assert [await ear.next() for ear in ears] == [FeedEvent("raw", TOOLS)] * 3
        assert streaming.streams.empty()
        for ear in ears:
            await ear.stop()
        await within(server.hung_up.wait(), 20)


async def test_a_modern_server_is_asked_for_what_it_can_tell(servers):
    streaming = Streaming()
    async with raw_server(streaming) as server:
        ear = Ear(servers, server.upstream(capabilities=CHANGING), frozenset({"note://1"}))
        asked, _ = await streaming.next()
        wanted = asked.message["params"]["notifications"]
        assert wanted == {"toolsListChanged": True, "resourceSubscriptions": ["note://1"]}
        await ear.stop()


async def test_only_those_who_asked_for_a_resource_hear_of_it(servers):
    streaming = Streaming()
    async with raw_server(streaming) as server:
        upstream = server.upstream(capabilities=CHANGING)
        one = Ear(servers, upstream, frozenset({"note://1"}))
        await streaming.next()
        two = Ear(servers, upstream, frozenset({"note://2"}))
        asked, writer = await streaming.next()
        assert asked.message["params"]["notifications"]["resourceSubscriptions"] == ["note://1", "note://2"]
        for uri in ("note://2", "note://3", "note://1"):
            writer.write(note(UPDATED, uri=uri))
        writer.write(note(TOOLS))
        assert [await one.next(), await one.next()] == [FeedEvent("raw", UPDATED, "note://1"), FeedEvent("raw", TOOLS)]
        assert [await two.next(), await two.next()] == [FeedEvent("raw", UPDATED, "note://2"), FeedEvent("raw", TOOLS)]
        await one.stop()
        await two.stop()


async def test_a_stream_that_broke_is_opened_again_and_what_was_missed_is_made_up(servers):
    streaming = Streaming()
    async with raw_server(streaming) as server:
        ear = Ear(servers, server.upstream(capabilities=CHANGING), frozenset({"note://1"}))
        _, writer = await streaming.next()
        writer.transport.abort()
        await streaming.next()
        assert {await ear.next(), await ear.next()} == {FeedEvent("raw", TOOLS), FeedEvent("raw", UPDATED, "note://1")}
        await ear.stop()


async def test_a_legacy_server_is_subscribed_to_once_and_let_go_of(servers):
    streaming = Streaming()
    async with raw_server(streaming) as server:
        upstream = server.upstream(Era.LEGACY, capabilities=CHANGING)
        ear = Ear(servers, upstream, frozenset({"note://1"}))
        await streaming.next()
        other = Ear(servers, upstream, frozenset({"note://1", "note://2"}))
        _, writer = await streaming.next()
        writer.write(note(UPDATED, uri="note://2"))
        assert await other.next() == FeedEvent("raw", UPDATED, "note://2")
        told = [one["params"]["uri"] for one in streaming.told if one["method"] == "resources/subscribe"]
        assert told == ["note://1", "note://2"]
        await ear.stop()
        await other.stop()


async def test_a_server_without_a_stream_is_left_in_peace(servers):
    streaming = Streaming(get="405 Method Not Allowed")
    async with raw_server(streaming) as server:
        ear = Ear(servers, server.upstream(Era.LEGACY, capabilities=CHANGING))
        await eventually(lambda: [asked for asked in server.asked if asked.line.startswith("GET")])
        await asyncio.sleep(0.2)
        assert sum(asked.line.startswith("GET") for asked in server.asked) == 1
        await ear.stop()


@pytest.mark.parametrize(("method", "answer"), [("ping", "result"), ("elicitation/create", "error")])
async def test_a_question_that_belongs_to_no_call_is_put_to_nobody(servers, method, answer):
    streaming = Streaming()
    async with raw_server(streaming) as server:
        ear = Ear(servers, server.upstream(Era.LEGACY, capabilities=CHANGING))
        _, writer = await streaming.next()
        writer.write(event({"jsonrpc": "2.0", "id": 5, "method": method, "params": {}}))
        writer.write(note(TOOLS))
        await ear.next()
        await eventually(lambda: [one for one in streaming.told if one.get("id") == 5])
        assert [set(one) for one in streaming.told if one.get("id") == 5] == [{"jsonrpc", "id", answer}]
        await ear.stop()


async def test_a_flood_of_the_same_news_is_one_piece_of_news(servers):
    streaming = Streaming()
    async with raw_server(streaming) as server:
        events = servers.events(server.upstream(capabilities=CHANGING), None, frozenset(), None)
        first = asyncio.ensure_future(anext(events))
        _, writer = await streaming.next()
        writer.write(note(TOOLS))
        await within(first, 20)
        writer.write(note(TOOLS) * 5000)
        await writer.drain()
        await asyncio.sleep(0.3)
        assert (await within(anext(events), 20)).method == TOOLS
        again = asyncio.ensure_future(anext(events))
        done, _ = await asyncio.wait({again}, timeout=0.2)
        assert not done
        again.cancel()
        await asyncio.gather(again, return_exceptions=True)
        await events.aclose()


async def test_a_modern_server_is_asked_for_word_of_tasks_and_each_follower_hears_of_its_own(servers):
    streaming = Streaming()
    async with raw_server(streaming) as server:
        upstream = server.upstream(capabilities=CHANGING)
        ear = Ear(servers, upstream, frozenset({TASK + "t1", "note://1"}))
        asked, writer = await streaming.next()
        params = asked.message["params"]
        assert params["notifications"] == {
            "toolsListChanged": True,
            "resourceSubscriptions": ["note://1"],
            "taskIds": ["t1"],
        }
        declared = params["_meta"]["io.modelcontextprotocol/clientCapabilities"]
        assert "io.modelcontextprotocol/tasks" in declared["extensions"]
        writer.write(note("notifications/tasks", taskId="t2", status="working"))
        writer.write(note("notifications/tasks", taskId="t1", status="completed"))
        assert await ear.next() == FeedEvent("raw", UPDATED, TASK + "t1")
        await ear.stop()
