"""From a call that needs an account to its answer: a whole gateway, authorization servers, clients of each era."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx2
import mcp_types as types
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from mcp.shared.exceptions import MCPError
from sqlalchemy import update

from authz.people.accounts import add_person
from authz.people.sessions import begin_session
from authz.policy.rules import Draft, write_rule
from authz.tables import Person
from authz.tokens.keys import load_keys
from authz.tokens.minting import Minting, mint
from gateway.assembly import open_office
from gateway.settings import Settings
from registry.database import Concern
from registry.tables import Connection
from tests.fakes.connecting import Visitor, hidden
from tests.fakes.gateway import CommandFailed, Gateway
from tests.fakes.modern import headers, meta
from tests.fakes.servers.upstream_oauth import Upstream, serving
from tests.servers import on_postgresql

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from gateway.office import Office

SERVERS = ("notes", "files")


@dataclass
class Place:
    """A gateway with two servers that want accounts, and people who may use them."""

    gateway: Gateway
    fakes: dict[str, Upstream]
    office: Office
    people: dict[str, Person] = field(default_factory=dict)

    def newcomer(self) -> str:
        """Somebody who may call everything and has connected nothing yet."""
        handle = f"p{len(self.people)}"
        with self.office.database.change(Concern.PEOPLE, Concern.POLICY) as session:
            self.people[handle] = add_person(session, handle, password_hash="")
            for slug in SERVERS:
                draft = Draft(subject=f"user:{handle}", object=f"{slug}.*", action="*")
                write_rule(session, draft, who="operator:test", now=time.time())
        end = time.monotonic() + 60
        while self.status(handle) == 401:
            assert time.monotonic() < end, "the gateway does not know them"
            time.sleep(0.05)
        return handle

    def appoint(self, handle: str) -> None:
        with self.office.database.change(Concern.PEOPLE) as session:
            session.get_one(Person, self.people[handle].id).is_admin = True

    def status(self, handle: str) -> int:
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": meta()}}
        with httpx2.Client(trust_env=False, timeout=20) as http:
            sent = http.post(f"{self.gateway.url}/mcp", json=body, headers=headers("tools/list", self.token(handle)))
            return sent.status_code

    def visitor(self, handle: str) -> Visitor:
        with self.office.database.change() as session:
            cookie = begin_session(
                session, self.people[handle], now=time.time(), life=3600, amr="pwd", address="127.0.0.1"
            )
        return Visitor(self.gateway.url, handle, cookie, *self.fakes.values())

    def token(self, handle: str) -> str:
        base, person = self.gateway.url, self.people[handle]
        ask = Minting(
            issuer=base, subject=person.id, client="ostiary-cli", resource=f"{base}/mcp", scope="mcp", life=300
        )
        with self.office.database.read() as session:
            return mint(load_keys(session, self.office.vault), ask).token

    @asynccontextmanager
    async def client(self, handle: str, **options: Any) -> AsyncIterator[Client]:
        """The Python SDK's, with a token of this person."""
        bearer = {"authorization": f"Bearer {self.token(handle)}"}
        async with (
            create_mcp_http_client(headers=bearer) as http,
            Client(streamable_http_client(f"{self.gateway.url}/mcp", http_client=http), **options) as client,
        ):
            yield client

    def aged(self) -> None:
        """As if everybody had connected a while ago: a token that is refused at once is nothing to connect again."""
        with self.office.database.change() as session:
            session.execute(update(Connection).values(changed_at=time.time() - 3600))

    def records(self, event: str) -> list[dict[str, Any]]:
        files = sorted((self.gateway.data / "journal").glob("*.jsonl"))
        lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
        return [line for line in lines if line.get("event") == event]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    fakes = {slug: Upstream() for slug in SERVERS}
    for fake in fakes.values():
        fake.open_lists = True
    data = tmp_path_factory.mktemp("place") / "data"
    with ExitStack() as stack:
        for fake in fakes.values():
            stack.enter_context(serving(fake))
        gateway = stack.enter_context(Gateway(data))
        for slug, fake in fakes.items():
            gateway.run("server", "add", slug, fake.url, "--auth", "oauth-person", "--allow-address")
            gateway.run("server", "approve", slug, "--yes", "--accept-findings")
        url = on_postgresql.environment(data).get("OSTIARY_DATABASE_URL")
        office = open_office(Settings(data=data, port=gateway.port, database_url=url))
        stack.callback(office.close)
        yield Place(gateway, fakes, office)


def text(result: types.CallToolResult) -> str:
    [block] = result.content
    assert isinstance(block, types.TextContent)
    return block.text


async def test_a_modern_client_is_led_to_the_page_and_its_call_goes_on(place: Place) -> None:
    handle, asked = place.newcomer(), []

    async def person(_context: Any, params: Any) -> types.ElicitResult:
        asked.append(params)
        with place.visitor(handle) as visitor:
            page = await asyncio.to_thread(visitor.connect, params.url)
        assert "is connected" in page.text
        return types.ElicitResult(action="accept")

    async with place.client(handle, mode="2026-07-28", elicitation_callback=person) as client:
        assert json.loads(text(await client.call_tool("notes_whoami", {})))["person"] == handle
        assert json.loads(text(await client.call_tool("notes_whoami", {})))["person"] == handle
    (params,) = asked
    assert params.mode == "url"
    assert params.message.startswith("[notes] ")
    assert [one["reason"] for one in place.records("call.refused") if one["who"] == f"user:{handle}"] == [
        "not-connected"
    ]


async def test_a_client_that_comes_back_at_once_waits_for_its_person(place: Place) -> None:
    handle, going = place.newcomer(), []

    async def person(_context: Any, params: Any) -> types.ElicitResult:
        async def later() -> None:
            await asyncio.sleep(1.5)
            with place.visitor(handle) as visitor:
                await asyncio.to_thread(visitor.connect, params.url)

        going.append(asyncio.create_task(later()))
        return types.ElicitResult(action="accept")

    async with place.client(handle, mode="2026-07-28", elicitation_callback=person) as client:
        assert json.loads(text(await client.call_tool("notes_whoami", {})))["person"] == handle
    await going[0]
    assert len(going) == 1


async def test_whoever_says_no_has_a_result_that_says_so(place: Place) -> None:
    handle = place.newcomer()

    async def person(_context: Any, _params: Any) -> types.ElicitResult:
        return types.ElicitResult(action="decline")

    async with place.client(handle, mode="2026-07-28", elicitation_callback=person) as client:
        said = await client.call_tool("notes_whoami", {})
    assert said.is_error
    assert "no" in text(said)


async def test_a_client_of_2025_11_25_has_an_error_with_the_link(place: Place) -> None:
    handle = place.newcomer()

    async def person(_context: Any, _params: Any) -> types.ElicitResult:
        raise AssertionError("nothing is asked in the middle of the call")

    async with place.client(handle, mode="legacy", elicitation_callback=person) as client:
        with pytest.raises(MCPError) as met:
            await client.call_tool("notes_whoami", {})
        assert met.value.error.code == -32042
        (asked,) = met.value.error.data["elicitations"]
        with place.visitor(handle) as visitor:
            await asyncio.to_thread(visitor.connect, asked["url"])
        assert json.loads(text(await client.call_tool("notes_whoami", {})))["person"] == handle


async def test_a_client_that_cannot_be_asked_has_the_link_in_words(place: Place) -> None:
    handle = place.newcomer()
    for mode in ("2026-07-28", "legacy"):
        async with place.client(handle, mode=mode) as client:
            said = await client.call_tool("notes_whoami", {})
            assert said.is_error
            url = next(word for word in text(said).split() if word.startswith("http"))
    with place.visitor(handle) as visitor:
        visitor.connect(url)
    async with place.client(handle, mode="legacy") as client:
        assert json.loads(text(await client.call_tool("notes_whoami", {})))["person"] == handle


def test_a_client_of_2025_06_18_has_the_link_in_words(place: Place) -> None:
    handle = place.newcomer()
    with (
        httpx2.Client(base_url=place.gateway.url, trust_env=False, timeout=20) as http,
        place.visitor(handle) as visitor,
    ):
        http.headers["authorization"] = f"Bearer {place.token(handle)}"
        http.headers["accept"] = "application/json, text/event-stream"
        told = {
            "protocolVersion": "2025-06-18",
            "capabilities": {"elicitation": {}},
            "clientInfo": {"name": "t", "version": "1"},
        }
        greeting = http.post("/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": told})
        assert greeting.json()["result"]["protocolVersion"] == "2025-06-18"
        http.headers["mcp-session-id"] = greeting.headers["mcp-session-id"]
        http.headers["mcp-protocol-version"] = "2025-06-18"
        call = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "notes_whoami", "arguments": {}}}
        result = http.post("/mcp", json=call).json()["result"]
        assert result["isError"] is True
        said = result["content"][0]["text"]
        visitor.connect(next(word for word in said.split() if word.startswith("http")))
        again = http.post("/mcp", json=call).json()["result"]
        assert json.loads(again["content"][0]["text"])["person"] == handle


async def test_two_servers_are_connected_in_one_go(place: Place) -> None:
    handle, asked = place.newcomer(), []

    async def person(_context: Any, params: Any) -> types.ElicitResult:
        asked.append(params.url)
        with place.visitor(handle) as visitor:
            await asyncio.to_thread(visitor.connect, params.url, "files")
        return types.ElicitResult(action="accept")

    async with place.client(handle, mode="2026-07-28", elicitation_callback=person) as client:
        for tool in ("notes_whoami", "files_whoami"):
            assert json.loads(text(await client.call_tool(tool, {})))["person"] == handle
    assert len(asked) == 1


async def test_a_scope_that_is_missing_is_asked_for_and_given(place: Place) -> None:
    handle, asked, going = place.newcomer(), [], []

    async def person(_context: Any, params: Any) -> types.ElicitResult:
        async def later() -> None:
            await asyncio.sleep(1.0)
            with place.visitor(handle) as visitor:
                await asyncio.to_thread(visitor.connect, params.url)

        asked.append(params)
        going.append(asyncio.create_task(later()))
        return types.ElicitResult(action="accept")

    async with place.client(handle, mode="2026-07-28", elicitation_callback=person) as client:
        await client.call_tool("notes_whoami", {})
        before = len(place.fakes["notes"].heard)
        assert json.loads(text(await client.call_tool("notes_write", {})))["person"] == handle
    heard = [one for one in place.fakes["notes"].heard[before:] if one.path == "/mcp" and b"tools/call" in one.body]
    assert len(asked) == 2
    assert len(heard) == 2  # nothing goes there while the person is on the page


async def test_what_was_ended_at_the_other_side_leads_back_to_the_page(place: Place) -> None:
    handle, asked = place.newcomer(), []

    async def person(_context: Any, params: Any) -> types.ElicitResult:
        asked.append(params)
        with place.visitor(handle) as visitor:
            await asyncio.to_thread(visitor.connect, params.url)
        return types.ElicitResult(action="accept")

    async with place.client(handle, mode="2026-07-28", elicitation_callback=person) as client:
        await client.call_tool("notes_whoami", {})
        place.aged()
        place.fakes["notes"].revoke(handle)
        assert json.loads(text(await client.call_tool("notes_whoami", {})))["person"] == handle
    assert len(asked) == 2
    assert "again" in asked[1].message


async def test_an_access_token_that_ended_early_is_renewed_and_nobody_is_asked(place: Place) -> None:
    handle, asked = place.newcomer(), []

    async def person(_context: Any, params: Any) -> types.ElicitResult:
        asked.append(params)
        with place.visitor(handle) as visitor:
            await asyncio.to_thread(visitor.connect, params.url)
        return types.ElicitResult(action="accept")

    async with place.client(handle, mode="2026-07-28", elicitation_callback=person) as client:
        await client.call_tool("notes_whoami", {})
        place.aged()
        place.fakes["notes"].expire()
        assert json.loads(text(await client.call_tool("notes_whoami", {})))["person"] == handle
    assert len(asked) == 1


async def test_t_30_somebody_elses_link_connects_nothing_for_anybody(place: Place) -> None:
    victim, attacker = place.newcomer(), place.newcomer()
    async with place.client(attacker, mode="2026-07-28") as client:
        said = text(await client.call_tool("notes_whoami", {}))
        url = next(word for word in said.split() if word.startswith("http"))
        with place.visitor(victim) as visitor:
            assert visitor.http.get(url).status_code == 403
        again = await client.call_tool("notes_whoami", {})
    assert again.is_error
    assert place.fakes["notes"].calls.count(("whoami", victim)) == 0


async def test_t_53_each_call_uses_the_account_of_whoever_called(place: Place) -> None:
    handles = [place.newcomer() for _ in range(3)]
    async with asyncio.TaskGroup() as group:
        for handle in handles:
            group.create_task(_connected(place, handle))

    async def mine(handle: str) -> None:
        async with place.client(handle, mode="2026-07-28") as client:
            for _ in range(5):
                assert json.loads(text(await client.call_tool("notes_whoami", {})))["person"] == handle

    async with asyncio.TaskGroup() as group:
        for handle in handles:
            group.create_task(mine(handle))


async def _connected(place: Place, handle: str) -> None:
    def connect() -> None:
        with place.visitor(handle) as visitor:
            visitor.connect("/connect/notes")

    await asyncio.to_thread(connect)


async def test_a_shared_account_is_connected_read_with_and_called_with(place: Place) -> None:
    handle, fake = place.newcomer(), Upstream()
    with serving(fake):
        with pytest.raises(CommandFailed):  # it lists nothing to whoever has no account
            place.gateway.run("server", "add", "mail", fake.url, "--auth", "oauth-shared", "--allow-address")
        place.appoint(handle)
        with place.visitor(handle) as admin:
            admin.fakes[fake.origin] = fake
            there = "/connect/mail/shared"
            page = await asyncio.to_thread(lambda: admin.http.get(there))
            sent = await asyncio.to_thread(lambda: admin.http.post(there, data=hidden(page.text, there)))
            assert "<strong>Connected.</strong>" in (await asyncio.to_thread(admin.through, sent)).text
        place.gateway.run("server", "refresh", "mail")
        place.gateway.run("server", "approve", "mail", "--yes", "--accept-findings")
        other = place.newcomer()
        place.gateway.allow(f"user:{other}", "mail.*")
        await asyncio.to_thread(until_listed, place, other, "mail_whoami")
        async with place.client(other, mode="2026-07-28") as client:
            assert json.loads(text(await client.call_tool("mail_whoami", {})))["person"] == handle
            with place.visitor(handle) as admin:
                page = await asyncio.to_thread(lambda: admin.http.get(there))
                fields = hidden(page.text, f"{there}/end")
                await asyncio.to_thread(lambda: admin.http.post(f"{there}/end", data=fields))
            end, said = time.monotonic() + 5, None
            while said is None or not said.is_error:
                assert time.monotonic() < end, "what was ended is still used"
                with suppress(MCPError):  # a call that was under way at that moment is taken back
                    said = await client.call_tool("mail_whoami", {})
                await asyncio.sleep(0.1)
        assert "administrator" in text(said)


def until_listed(place: Place, handle: str, tool: str) -> None:
    """What was just approved and allowed is known within a second; a client would keep the list of before."""
    token, end = place.token(handle), time.monotonic() + 60
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": meta()}}
    with httpx2.Client(trust_env=False, timeout=20) as http:
        while tool not in http.post(f"{place.gateway.url}/mcp", json=body, headers=headers("tools/list", token)).text:
            assert time.monotonic() < end, f"{tool} was never listed"
            time.sleep(0.05)


def test_t_93_no_answer_and_no_record_holds_a_token(place: Place) -> None:
    handle = place.newcomer()
    token = place.token(handle)
    params = {"name": "notes_whoami", "arguments": {}, "_meta": meta()}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    with httpx2.Client(trust_env=False, timeout=20) as http, place.visitor(handle) as visitor:
        url = f"{place.gateway.url}/mcp"
        answers = [http.post(url, json=body, headers=headers("tools/call", token, name="notes_whoami")).text]
        answers.append(visitor.connect("/connect/notes").text)
        answers += [visitor.http.get(path).text for path in ("/connect", "/connect/notes", "/", "/account")]
        answers.append(http.post(url, json=body, headers=headers("tools/call", token, name="notes_whoami")).text)
        fake = place.fakes["notes"]
        secrets = [one for one in (*fake.accounts, *fake.refreshes, *fake.apps) if handle in one or "-" not in one]
        secrets += [app.secret for app in fake.apps.values() if app.secret]
        assert secrets
        fake.revoke(handle)
        answers.append(http.post(url, json=body, headers=headers("tools/call", token, name="notes_whoami")).text)
    journal = "".join(file.read_text() for file in (place.gateway.data / "journal").glob("*.jsonl"))
    everything = "\n".join((*answers, journal, place.gateway.output()))
    assert [secret for secret in secrets if secret in everything] == []
