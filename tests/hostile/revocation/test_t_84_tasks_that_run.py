"""T-84: a task that a server runs ends with what let it begin, and its id opens nothing from then on."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from authz.policy.policy import Policy
from authz.tokens.cutoffs import Cut, CutOffs
from gateway.credentials.connections import deeds
from gateway.credentials.shelf import cut_key
from gateway.portal.calls import running
from gateway.upstream import Ask
from gateway.upstream.leaving import leave_forever
from gateway.upstream.refreshing.reading import Nobody
from registry.addresses import exception_line
from registry.catalogue import Credential
from registry.credentials.authenticating import set_auth
from registry.credentials.connections import Tokens
from registry.database import Concern
from registry.servers import find
from registry.tables import Auth, Era
from tests.fakes.deadlines import within
from tests.fakes.door import NOTES, Legacy, Line, ask, catalogue, eventually, modern, upstream
from tests.fakes.furnished import allow, door_of, furnish, minted
from tests.fakes.servers.raw import Asked, http, raw_server, result
from tests.gateway.oauth.house import House
from tests.gateway.portal.legacy_tasks.setup import CALL as CALL_BEFORE
from tests.gateway.portal.legacy_tasks.setup import door_with_tasks as door_with_tasks_before
from tests.gateway.portal.test_tasks import BEGUN, EXTENSION, KNOWS, about, begin, door_with_tasks
from tests.gateway.upstream.conftest import make_servers

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fakes.door import Door

__all__ = ["make_servers"]

CUTS: dict[str, tuple[Cut, str]] = {
    "person": (Cut.PERSON, "editor"),
    "client": (Cut.CLIENT, "app"),
    "account": (Cut.CONNECTION, cut_key("notes", "editor")),
}


class Accounts:
    """Everybody has an account at each server, which this says."""

    def __init__(self, account: str = "first") -> None:
        self.account = account

    def at_hand(self, _snapshot: object, server: Any, principal: Any, _tool: str = "") -> Credential:
        return Credential(
            server=server.slug, origin=exception_line(server.url), header=b"authorization", value=b"Bearer t",
            subject=principal.subject, account=self.account, since=1.0,
        )  # fmt: skip


def with_accounts(door: Door) -> Accounts:
    held = Accounts()
    object.__setattr__(door.world, "credentials", held)
    catalogue = door.snapshots.current.catalogue
    notes = replace(catalogue.upstreams["notes"], auth=Auth.OAUTH_PERSON)
    door.snapshots.turn(catalogue=replace(catalogue, upstreams={**catalogue.upstreams, "notes": notes}))
    return held


def heard(door: Door, method: str = "tasks/cancel") -> list[Any]:
    return [asked for asked in door.upstreams.asks if asked.method == method]


def end(door: Door, what: str) -> None:
    door.snapshots.turn(cutoffs=CutOffs({CUTS[what]: 2.0**40}))
    door.world.underway.recall(door.snapshots.current)


@pytest.mark.parametrize("what", ["person", "client"])
async def test_t_84_a_task_is_cancelled_at_its_server_with_what_let_it_begin(tmp_path, what: str) -> None:
    async with door_with_tasks(tmp_path) as door:
        await begin(door)
        assert len(door.world.underway.tasks) == 1

        end(door, what)

        await eventually(lambda: heard(door))
        [cancelled] = heard(door)
        assert (cancelled.name, cancelled.params["taskId"]) == ("up-1", b'"up-1"')
        [record] = door.records("task.ended")
        assert (record["who"], record["server"]) == ("user:editor", "notes")
        assert len(door.world.underway.tasks) == 0


async def test_t_84_a_task_ends_with_the_right_to_call_its_tool(tmp_path) -> None:
    async with door_with_tasks(tmp_path) as door:
        await begin(door)
        door.snapshots.turn(policy=Policy([], epoch=2))
        door.world.underway.recall(door.snapshots.current)
        await eventually(lambda: heard(door))


async def test_t_84_what_changes_elsewhere_ends_no_task(tmp_path) -> None:
    async with door_with_tasks(tmp_path) as door:
        ident = await begin(door)
        cuts = {(Cut.PERSON, "reader"): 2.0**40, (Cut.CONNECTION, cut_key("notes", "editor")): 2.0**40}
        door.snapshots.turn(cutoffs=CutOffs(cuts))  # it runs with no account
        door.world.underway.recall(door.snapshots.current)
        assert "result" in (await ask(door, "tasks/get", about(ident))).json
        assert not heard(door)


async def test_t_84_a_server_that_is_not_approved_any_more_hears_nothing(tmp_path) -> None:
    """One whose credential was tampered with is not talked to (T-92)."""
    async with door_with_tasks(tmp_path) as door:
        await begin(door)
        without = [entry for entry in NOTES if entry.server == "clock"]
        door.snapshots.turn(catalogue=catalogue(without, [upstream("clock", capabilities={"tasks": {}})], epoch=2))
        assert door.world.underway.tasks.recall(door.snapshots.current) == set()
        assert not heard(door)


async def test_t_84_a_task_that_has_ended_is_not_cancelled(tmp_path) -> None:
    async with door_with_tasks(tmp_path) as door:
        ident = await begin(door)
        door.upstreams.script.state |= {"status": "completed", "result": {"content": []}}
        await ask(door, "tasks/get", about(ident))
        assert len(door.world.underway.tasks) == 0
        assert door.world.underway.tasks.recall(door.snapshots.current) == set()


async def test_t_84_a_process_remembers_no_more_tasks_than_it_may(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(running, "MOST", 3)
    async with door_with_tasks(tmp_path) as door:
        for _ in range(5):
            await begin(door)
        assert len(door.world.underway.tasks) == 3


@pytest.mark.parametrize("what", ["person", "client"])
@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_t_84_the_id_opens_nothing_once_what_let_it_begin_was_ended(tmp_path, era: str, what: str) -> None:
    """Also for the same person who has signed in again, at a process that never heard of the task."""
    opening = door_with_tasks if era == "modern" else door_with_tasks_before
    async with opening(tmp_path) as door:
        if era == "modern":
            ident = await begin(door)
        else:
            async with Legacy(door) as before:
                ident = (await before.say("tools/call", CALL_BEFORE)).json["result"]["task"]["taskId"]
        door.snapshots.turn(cutoffs=CutOffs({CUTS[what]: float(int(time.time()))}))
        await asyncio.sleep(1.1)  # a token says in whole seconds when it was issued: the next one is of a later one
        asks = len(door.upstreams.asks)
        if era == "modern":
            got = (await ask(door, "tasks/get", about(ident))).json
        else:
            async with Legacy(door) as again:
                got = (await again.say("tasks/get", {"taskId": ident})).json
        assert got["error"]["code"] == -32602
        assert len(door.upstreams.asks) == asks


async def test_t_84_a_task_is_nothing_of_another_account_of_the_same_person(tmp_path) -> None:
    async with door_with_tasks(tmp_path) as door:
        held = with_accounts(door)
        ident = await begin(door)
        assert "result" in (await ask(door, "tasks/get", about(ident))).json
        held.account = "second"
        asks = len(door.upstreams.asks)
        got = (await ask(door, "tasks/get", about(ident))).json
        assert got["error"]["code"] == -32602
        assert len(door.upstreams.asks) == asks


@pytest.mark.parametrize("era", [Era.MODERN, Era.LEGACY])
async def test_t_84_what_is_kept_open_waits_for_the_last_words(make_servers, era: Era) -> None:
    """A legacy server knows a task in the session that began it."""
    servers = make_servers()
    gone = asyncio.Event()

    async def respond(asked: Asked, _: asyncio.StreamWriter) -> bytes:
        if asked.line.startswith("DELETE"):
            gone.set()
            return http(b"", "204 No Content")
        if asked.method == "initialize":
            said = {"protocolVersion": "2025-11-25", "capabilities": {}}
            return http(result(asked, said), extra="Mcp-Session-Id: s\r\n")
        return http(b"", "202 Accepted") if asked.method.startswith("notifications/") else http(result(asked))

    async with raw_server(respond) as server:
        at = server.upstream(era)
        credential = Credential(
            server="raw", origin=exception_line(server.url), header=b"authorization", value=b"Bearer t", since=1.0
        )
        await servers.send(at, Ask(method="tools/call", principal=None), Nobody(), credential)
        speaking = asyncio.Event()
        telling = asyncio.ensure_future(speaking.wait())
        servers.forsake(lambda _: True, [telling])
        await asyncio.sleep(0.4)  # longer than a session lasts otherwise
        assert not gone.is_set()
        speaking.set()
        if era is Era.LEGACY:
            await within(gone.wait(), 20)


async def test_t_84_the_process_that_ends_accounts_tells_first(tmp_path) -> None:
    async with door_with_tasks(tmp_path) as door:
        told: list[Any] = []
        door.upstreams.forsake = lambda _ended, telling=(): told.append(telling)  # type: ignore[method-assign]
        watching = asyncio.create_task(leave_forever(door.world))
        await begin(door)
        await asyncio.sleep(0)
        door.snapshots.turn(cutoffs=CutOffs({CUTS["person"]: 2.0**40}))
        await eventually(lambda: told)
        assert len(told[0]) == 1
        watching.cancel()


@pytest.mark.parametrize("shared", [True, False])
async def test_t_84_a_server_hears_of_the_end_by_the_account_that_ended(tmp_path: Path, *, shared: bool) -> None:
    """Whoever ends it, wherever: by what every process learns of. Afterwards nothing more is said by that account."""

    async def works(one: Asked, _: asyncio.StreamWriter) -> bytes:
        return http(result(one, BEGUN if one.method == "tools/call" else {"resultType": "complete"}))

    async with raw_server(works) as server:
        house = House(tmp_path)
        furnish(house, "files", server.url, "slow", extensions={EXTENSION: {}})
        auth = Auth.OAUTH_SHARED if shared else Auth.OAUTH_PERSON
        with house.office.database.change(Concern.CATALOGUE) as session:
            set_auth(session, find(session, "files"), auth, {}, {}, house.office.vault)
        person, client = house.person("alice"), house.client()
        allow(house, person, "files.*")
        with house:
            watching = [
                asyncio.run_coroutine_threadsafe(work, house.loop)
                for work in (house.world.underway.watch(house.world.snapshots), leave_forever(house.world))
            ]
            subject = "" if shared else person.id
            equipment = house.world.credentials.equipment
            tokens = Tokens(access="canary-" + "a" * 40, issuer="https://as.example", audience=server.url)
            await asyncio.to_thread(deeds.connect, equipment, "files", subject, tokens, who="user:x")
            asking = {"token": minted(house, person, client), "method": "tools/call"}
            async with Line(door_of(house)) as line:
                begun = await line.ask("POST", "/mcp", *modern(**asking, params={"name": "files_slow", **KNOWS}))
            ident = begun.json["result"]["taskId"]

            await asyncio.to_thread(deeds.end, equipment, "files", subject, who="user:x")

            [cancelled] = await eventually(lambda: server.asked_for("tasks/cancel"))
            assert cancelled.headers["authorization"] == f"Bearer {tokens.access}"
            assert cancelled.message["params"]["taskId"] == "up-1"
            await asyncio.to_thread(deeds.connect, equipment, "files", subject, tokens, who="user:x")
            async with Line(door_of(house)) as line:
                asking["method"] = "tasks/get"
                got = await line.ask("POST", "/mcp", *modern(**asking, params=about(ident)))
            assert got.json["error"]["code"] == -32602
            assert not server.asked_for("tasks/get")
            for task in watching:
                task.cancel()
