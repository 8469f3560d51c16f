"""Reading what servers offer, and keeping the catalogue true."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from gateway.credentials.holding import Credentials
from gateway.journal.writer import open_journal
from gateway.office import Office
from gateway.rendezvous.memory import MemoryRendezvous
from gateway.settings import Settings
from gateway.snapshots import Snapshots
from gateway.upstream import UpstreamBroken
from gateway.upstream.connections import open_upstreams
from gateway.upstream.refreshing.news import ServerLists, hear
from gateway.upstream.refreshing.reading import read_server
from gateway.upstream.refreshing.refresh import Refresher, reach, refresh
from registry.approving import Approver, approve
from registry.catalogue.assembling import load_catalogue
from registry.credentials.authenticating import set_auth
from registry.database import Concern, Database, sqlite_url
from registry.leases import give_back, take
from registry.reviewing import review
from registry.schema import migrate
from registry.secrets.vault import Vault
from registry.servers import Proposal, propose
from registry.tables import Auth, Kind, Lease, Secret, Server, ServerState
from tests.fakes.deadlines import within
from tests.fakes.servers.raw import STREAM, chunk, event, raw_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from gateway.upstream.upstreams import Upstreams
    from tests.fakes.servers.raw import Asked, RawServer

DEADLINE = 20.0


@dataclass
class Shop:
    """A modern server whose offers a test can change while it runs."""

    pages: dict[str, list[list[dict[str, Any]]]] = field(default_factory=dict)
    capabilities: dict[str, Any] = field(default_factory=lambda: {"tools": {}})
    instructions: str = ""
    cursor: Any = None  # what every page says comes next, whatever was asked
    broken: bool = False
    streams: asyncio.Queue[asyncio.StreamWriter] = field(default_factory=asyncio.Queue)

    async def respond(self, asked: Asked, writer: asyncio.StreamWriter) -> bytes | None:
        if asked.method == "subscriptions/listen":
            writer.write(STREAM + chunk(b": here\n\n"))
            self.streams.put_nowait(writer)
            return None
        if self.broken:
            return b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"
        body = json.dumps({"jsonrpc": "2.0", "id": asked.message["id"], **self._answer(asked.message)}).encode()
        return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)

    def _answer(self, message: dict[str, Any]) -> dict[str, Any]:
        method = message["method"]
        if method == "server/discover":
            said = {"supportedVersions": ["2026-07-28"], "capabilities": self.capabilities, "resultType": "complete"}
            return {"result": said | {"instructions": self.instructions, "ttlMs": 0, "cacheScope": "private"}}
        pages = self.pages.get(method)
        if pages is None:
            return {"error": {"code": -32601, "message": "no such method"}}
        at = 0 if self.cursor is not None else int(message["params"].get("cursor") or 0)
        member = {"resources/templates/list": "resourceTemplates"}.get(method, method.split("/")[0])
        more = {"nextCursor": str(at + 1) if at else "1"} if at + 1 < len(pages) else {}
        if self.cursor is not None:
            more = {"nextCursor": self.cursor}
        return {"result": {"resultType": "complete", member: pages[at], "ttlMs": 0, "cacheScope": "private"} | more}


def tool(name: str, description: str = "Does a thing.") -> dict[str, Any]:
    return {"name": name, "description": description, "inputSchema": {"type": "object"}}


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    settings = Settings(data=tmp_path, refresh_interval=1, metrics_listen="")
    database = Database(sqlite_url(tmp_path))
    migrate(database)
    vault = Vault.open(tmp_path, database, None)
    journal = open_journal(
        tmp_path / "journal",
        vault.key("journal"),
        database,
        settings.journal_arguments,
        settings.journal_durability,
        "test",
    )
    opened = Office(settings=settings, database=database, vault=vault, journal=journal)
    yield opened
    opened.close()


@pytest.fixture
async def upstreams(office: Office) -> AsyncIterator[Upstreams]:
    opened = open_upstreams(office, MemoryRendezvous())
    yield opened
    await opened.close()


@asynccontextmanager
async def registered(office: Office, shop: Shop, *, header: bytes = b"") -> AsyncIterator[RawServer]:
    async with raw_server(shop.respond) as server:
        auth, secrets = (Auth.STATIC, {"header": header}) if header else (Auth.NONE, {})
        asked = Proposal(slug="shop", url=server.url, allow_address=True, auth=auth, secrets=secrets)
        with office.database.change(Concern.CATALOGUE) as session:
            propose(session, asked, who="operator:root", exceptions=(), vault=office.vault)
        yield server


def approve_all(office: Office) -> None:
    with office.database.change(Concern.CATALOGUE) as session:
        shown = review(session, "shop").digests(flagged=False)
        approve(session, "shop", shown, by=Approver(name="operator:root", signed_in=False, admins=1))


def tools(office: Office) -> list[str]:
    with office.database.read() as session:
        return list(load_catalogue(session, 1).mounts["/mcp"].tools)


def the_server(office: Office) -> Server:
    with office.database.read() as session:
        return session.get_one(Server, "shop")


def records(office: Office, event: str) -> list[dict[str, Any]]:
    lines = [
        line for file in (office.settings.data / "journal").rglob("*.jsonl") for line in file.read_text().splitlines()
    ]
    return [record for record in map(json.loads, lines) if record["event"] == event]


def holder(office: Office) -> str:
    with office.database.read() as session:
        lease = session.get(Lease, "refresh")
        return lease.holder if lease is not None else ""


async def until(holds: Any) -> None:
    async with asyncio.timeout(DEADLINE):
        while not await asyncio.to_thread(holds):  # noqa: ASYNC110  # the condition is in the database
            await asyncio.sleep(0.02)


async def test_every_page_of_every_list_is_read(office: Office, upstreams: Upstreams) -> None:
    shop = Shop(
        {
            "tools/list": [[tool("a"), tool("b")], [tool("c")], [tool("d")]],
            "prompts/list": [[{"name": "p"}]],
            "resources/list": [[{"uri": "s://1", "name": "one"}]],
            "resources/templates/list": [[{"uriTemplate": "s://{x}", "name": "t"}]],
        },
        capabilities={"tools": {}, "prompts": {}, "resources": {}},
        instructions="Ask nicely.",
    )
    async with registered(office, shop) as server:
        seen = await read_server(upstreams, *reach(office, Credentials(office), "shop"))
        assert not server.asked_for("resources/read"), "what a resource holds is nobody's business before it is wanted"
    assert [(one.kind, one.name) for one in seen.definitions] == [
        (Kind.SERVER, "server"),
        *((Kind.TOOL, name) for name in "abcd"),
        (Kind.PROMPT, "p"),
        (Kind.RESOURCE, "s://1"),
        (Kind.TEMPLATE, "s://{x}"),
    ]
    assert json.loads(seen.definitions[0].raw)["instructions"] == "Ask nicely."


async def test_only_what_a_server_says_it_has_is_asked_for(office: Office, upstreams: Upstreams) -> None:
    async with registered(office, Shop({"tools/list": [[tool("a")]]})) as server:
        await refresh(office, upstreams, Credentials(office), "shop")
        assert {asked.method for asked in server.asked} == {"server/discover", "tools/list"}


async def test_a_server_without_templates_is_no_fault(office: Office, upstreams: Upstreams) -> None:
    shop = Shop({"resources/list": [[{"uri": "s://1", "name": "one"}]]}, capabilities={"resources": {}})
    async with registered(office, shop):
        seen = await read_server(upstreams, *reach(office, Credentials(office), "shop"))
    assert [one.name for one in seen.definitions] == ["server", "s://1"]


@pytest.mark.parametrize("cursor", ["", "again", "0"])
async def test_a_list_that_never_ends_is_given_up(office: Office, upstreams: Upstreams, cursor: str) -> None:
    async with registered(office, Shop({"tools/list": [[tool("a")]]}, cursor=cursor)) as server:
        with pytest.raises(UpstreamBroken, match="never ends"):
            await read_server(upstreams, *reach(office, Credentials(office), "shop"))
        assert len(server.asked_for("tools/list")) == 2


@pytest.mark.parametrize("bad", [[{"description": "no name"}], ["a"], [None], {"a": 1}, "x", [{"name": 5}]])
async def test_a_malformed_list_is_a_failure_and_hides_nothing(office: Office, upstreams: Upstreams, bad: Any) -> None:
    shop = Shop({"tools/list": [[tool("a")]]})
    async with registered(office, shop):
        await refresh(office, upstreams, Credentials(office), "shop")
        approve_all(office)
        shop.pages["tools/list"] = [bad]
        await refresh(office, upstreams, Credentials(office), "shop")
    assert the_server(office).trouble == "protocol"
    assert the_server(office).failure.endswith("see that its address leads to an MCP server; ask its owner")
    assert tools(office) == ["shop_a"]


async def test_a_change_hides_the_tool_and_is_on_record(office: Office, upstreams: Upstreams) -> None:
    shop = Shop({"tools/list": [[tool("a"), tool("b")]]})
    async with registered(office, shop):
        await refresh(office, upstreams, Credentials(office), "shop")
        approve_all(office)
        shop.pages["tools/list"] = [[tool("a"), tool("b", "Other."), tool("c")]]
        await refresh(office, upstreams, Credentials(office), "shop")
    assert tools(office) == ["shop_a"]
    last = records(office, "server.observed")[-1]
    assert (last["who"], last["server"], last["changed"], last["new"]) == ("ostiary", "shop", ["tool b"], ["tool c"])


async def test_no_news_moves_no_epoch_and_writes_no_record(office: Office, upstreams: Upstreams) -> None:
    async with registered(office, Shop({"tools/list": [[tool("a")]]})):
        await refresh(office, upstreams, Credentials(office), "shop")
        before = office.database.epochs(), len(records(office, "server.observed"))
        await refresh(office, upstreams, Credentials(office), "shop")
        assert (office.database.epochs(), len(records(office, "server.observed"))) == before


async def test_a_dead_server_keeps_its_tools_and_says_since_when(office: Office, upstreams: Upstreams) -> None:
    shop = Shop({"tools/list": [[tool("a")]]})
    async with registered(office, shop):
        await refresh(office, upstreams, Credentials(office), "shop")
        approve_all(office)
    await refresh(office, upstreams, Credentials(office), "shop")
    failing = the_server(office)
    assert failing.failing_since is not None
    assert "see that it runs" in failing.failure
    assert tools(office) == ["shop_a"]
    assert len(records(office, "server.failing")) == 1
    await refresh(office, upstreams, Credentials(office), "shop")
    assert len(records(office, "server.failing")) == 1


async def test_t_92_a_server_whose_secret_was_tampered_with_is_suspended(office: Office, upstreams: Upstreams) -> None:
    async with registered(office, Shop({"tools/list": [[tool("a")]]}), header=b"X-Key: secret") as server:
        await refresh(office, upstreams, Credentials(office), "shop")
        approve_all(office)
        with office.database.change() as session:
            session.get_one(Secret, ("server:shop", "header")).sealed = b"x" * 40
        before = len(server.asked)
        await refresh(office, upstreams, Credentials(office), "shop")
        assert len(server.asked) == before
    assert the_server(office).state == ServerState.SUSPENDED
    assert tools(office) == []
    assert "credential" in the_server(office).failure


async def test_t_92_a_server_whose_older_secret_was_put_back_is_suspended_and_named(
    office: Office, upstreams: Upstreams
) -> None:
    async with registered(office, Shop({"tools/list": [[tool("a")]]}), header=b"X-Key: leaked") as server:
        await refresh(office, upstreams, Credentials(office), "shop")
        approve_all(office)
        with office.database.read() as session:
            old = session.get_one(Secret, ("server:shop", "header")).model_dump()
        with office.change("server.credential", Concern.CATALOGUE, who="op") as (session, _):
            set_auth(session, session.get_one(Server, "shop"), Auth.STATIC, {}, {"header": b"X-Key: new"}, office.vault)
        with office.database.change() as session:
            session.get_one(Secret, ("server:shop", "header")).sqlmodel_update(old)
        before = len(server.asked)
        await refresh(office, upstreams, Credentials(office), "shop")
        assert len(server.asked) == before
    assert the_server(office).state == ServerState.SUSPENDED
    assert "put back" in the_server(office).failure
    assert any("server:shop" in problem for problem in Snapshots(office).current.secrets)


@asynccontextmanager
async def running(office: Office, upstreams: Upstreams, interval: float | None = None) -> AsyncIterator[Refresher]:
    world = SimpleNamespace(
        office=office,
        upstreams=upstreams,
        credentials=Credentials(office),
        settings=SimpleNamespace(refresh_interval=interval or office.settings.refresh_interval),
        snapshots=Snapshots(office),
        rendezvous=MemoryRendezvous(),
    )
    refresher = Refresher(world)  # type: ignore[arg-type]
    task = asyncio.create_task(refresher.run())
    try:
        yield refresher
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_servers_are_asked_again_and_again(office: Office, upstreams: Upstreams) -> None:
    shop = Shop({"tools/list": [[tool("a")]]})
    async with registered(office, shop), running(office, upstreams):
        await until(lambda: the_server(office).probed_at is not None)
        approve_all(office)
        shop.pages["tools/list"] = [[tool("a", "Other.")]]
        await until(lambda: tools(office) == [])
        shop.broken = True
        await until(lambda: the_server(office).failing_since is not None)
        shop.broken = False
        await until(lambda: the_server(office).failing_since is None)


async def test_a_server_that_answered_as_none_of_its_kind_is_looked_at_at_once_but_not_without_end(
    office: Office, upstreams: Upstreams
) -> None:
    shop = Shop({"tools/list": [[tool("a")]]})
    async with registered(office, shop) as server, running(office, upstreams, 3600.0) as refresher:
        await until(lambda: the_server(office).probed_at is not None)
        before = len(server.asked_for("tools/list"))
        for _ in range(100):
            refresher.doubt("shop")
        await until(lambda: len(server.asked_for("tools/list")) > before)
        await asyncio.sleep(0.3)
        assert len(server.asked_for("tools/list")) == before + 1


async def test_a_server_that_hangs_keeps_no_other_waiting(office: Office, upstreams: Upstreams) -> None:
    async def hang(_asked: Asked, _writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(3600)

    shop = Shop({"tools/list": [[tool("a")]]})
    async with raw_server(hang) as stuck, registered(office, shop) as server:
        with office.database.change(Concern.CATALOGUE) as session:
            asked = Proposal(slug="hung", url=stuck.url, allow_address=True)
            propose(session, asked, who="operator:root", exceptions=(), vault=office.vault)
        async with running(office, upstreams):
            await until(lambda: len(server.asked_for("tools/list")) >= 3)
            assert len(stuck.asked) == 1  # still waiting for its first answer


async def test_a_server_that_says_its_list_changed_is_asked_at_once(office: Office, upstreams: Upstreams) -> None:
    office = replace(office, settings=office.settings.model_copy(update={"refresh_interval": 3600}))
    shop = Shop({"tools/list": [[tool("a")]]}, capabilities={"tools": {"listChanged": True}})
    async with registered(office, shop) as server:
        await refresh(office, upstreams, Credentials(office), "shop")
        approve_all(office)
        async with running(office, upstreams):
            stream = await within(shop.streams.get(), DEADLINE)
            await until(lambda: len(server.asked_for("tools/list")) == 2)
            shop.pages["tools/list"] = [[tool("a", "Other.")]]
            stream.write(event({"jsonrpc": "2.0", "method": "notifications/tools/list_changed", "params": {}}))
            await until(lambda: tools(office) == [])


async def test_what_a_server_says_of_its_lists_is_spread_when_it_has_been_asked(
    office: Office, upstreams: Upstreams
) -> None:
    office = replace(office, settings=office.settings.model_copy(update={"refresh_interval": 3600}))
    shop = Shop({"tools/list": [[tool("a")]]}, capabilities={"tools": {"listChanged": True}})
    async with registered(office, shop) as server:
        await refresh(office, upstreams, Credentials(office), "shop")
        approve_all(office)
        async with running(office, upstreams) as refresher:
            heard = hear(refresher._rendezvous)
            listening = asyncio.ensure_future(anext(heard))
            stream = await within(shop.streams.get(), DEADLINE)
            await until(lambda: len(server.asked_for("tools/list")) == 2)
            stream.write(event({"jsonrpc": "2.0", "method": "notifications/tools/list_changed", "params": {}}))
            said = await within(listening, DEADLINE)
            assert said == ServerLists("shop", ("notifications/tools/list_changed",))
            assert len(server.asked_for("tools/list")) == 3
            await heard.aclose()


async def test_a_server_that_was_just_approved_is_listened_to_at_once(office: Office, upstreams: Upstreams) -> None:
    office = replace(office, settings=office.settings.model_copy(update={"refresh_interval": 3600}))
    shop = Shop({"tools/list": [[tool("a")]]}, capabilities={"tools": {"listChanged": True}})
    async with running(office, upstreams) as refresher:
        await until(lambda: refresher._leading)
        watching = asyncio.create_task(refresher._snapshots.watch())
        async with registered(office, shop):
            await refresh(office, upstreams, Credentials(office), "shop")
            approve_all(office)
            await within(shop.streams.get(), DEADLINE)
        watching.cancel()


async def test_only_one_process_refreshes_and_the_next_takes_over(office: Office, upstreams: Upstreams) -> None:
    async with registered(office, Shop({"tools/list": [[tool("a")]]})) as server:
        assert take(office.database, "refresh", "somebody else", 3600)
        async with running(office, upstreams) as refresher:
            await asyncio.sleep(0.3)
            assert server.asked == []
            refresher.kick("shop")  # a kick is served by whoever gets it
            await until(lambda: server.asked_for("tools/list") != [])
        give_back(office.database, "refresh", "somebody else")
        async with running(office, upstreams):
            await until(lambda: holder(office) != "")
            assert not take(office.database, "refresh", "a third", 1)
        assert holder(office) == ""  # given back on leaving


def test_a_lease_is_one_holders_until_it_runs_out(office: Office) -> None:
    assert take(office.database, "x", "a", 3600)
    assert take(office.database, "x", "a", 3600)
    assert not take(office.database, "x", "b", 3600)
    assert take(office.database, "y", "b", 3600)
    give_back(office.database, "x", "b")
    assert not take(office.database, "x", "b", 3600)
    assert take(office.database, "x", "a", -1)
    assert take(office.database, "x", "b", 3600)
