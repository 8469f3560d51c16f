"""T-84: what runs at a server with an account ends with that account, and nothing of it goes on under another."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from authz.tokens.cutoffs import Cut, CutOffs
from gateway.credentials.connections import deeds
from gateway.credentials.shelf import cut_key, has_ended
from gateway.portal.headers import CAPABILITIES_KEY
from gateway.upstream.leaving import leave_forever
from registry.addresses import exception_line
from registry.catalogue import Credential
from registry.credentials.authenticating import set_auth
from registry.credentials.connections import Tokens
from registry.database import Concern
from registry.servers import find
from registry.tables import Auth, Era
from tests.fakes.deadlines import within
from tests.fakes.door import Line, eventually, modern
from tests.fakes.furnished import allow, door_of, furnish, minted
from tests.fakes.servers.raw import Asked, RawServer, http, raw_server, result
from tests.gateway.oauth.house import House
from tests.gateway.upstream.conftest import caller, make_servers
from tests.gateway.upstream.legacy.test_legacy_servers import asking_back
from tests.gateway.upstream.legacy.test_parking import ASKING, again, call
from tests.gateway.upstream.test_feeds import CHANGING, Streaming

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["caller", "make_servers"]


def account(server: RawServer, name: str, subject: str = "a", since: float = 1.0) -> Credential:
    return Credential(
        server="raw", origin=exception_line(server.url), header=b"authorization", value=b"Bearer of-" + name.encode(),
        subject=subject, account=name, since=since,
    )  # fmt: skip


def sent_with(server: RawServer, name: str) -> list[str]:
    return [one.method for one in server.asked if one.headers.get("authorization") == f"Bearer of-{name}"]


async def parked(servers, upstream, caller, credential) -> dict:
    asked = json.loads((await servers.send(upstream, call(capabilities=ASKING), caller, credential)).result)
    assert asked["resultType"] == "input_required"
    return asked


async def test_t_84_a_call_that_is_parked_is_cancelled_when_its_account_ends(make_servers, caller) -> None:
    servers = make_servers()
    async with raw_server(asking_back("elicitation/create", message="Delete it?")) as server:
        upstream = server.upstream(Era.LEGACY)
        asked = await parked(servers, upstream, caller, account(server, "first"))
        await parked(servers, upstream, caller, account(server, "theirs", "b"))

        servers.forsake(lambda credential: credential.account == "first")

        await eventually(lambda: "notifications/cancelled" in sent_with(server, "first"))
        await eventually(lambda: [one for one in server.asked if one.line.startswith("DELETE")])
        gone = await servers.send(upstream, again(asked), caller, account(server, "first"))
        assert json.loads(gone.error)["code"] == -32602
        assert "notifications/cancelled" not in sent_with(server, "theirs")


@pytest.mark.parametrize("where", ["here", "elsewhere"])
async def test_t_84_a_parked_call_does_not_go_on_under_another_account(make_servers, caller, where: str) -> None:
    one, other = make_servers(), make_servers()
    async with raw_server(asking_back("elicitation/create", message="Delete it?")) as server:
        upstream = server.upstream(Era.LEGACY)
        asked = await parked(one, upstream, caller, account(server, "first"))

        process = one if where == "here" else other
        gone = await process.send(upstream, again(asked), caller, account(server, "second"))

        assert json.loads(gone.error)["code"] == -32602
        await eventually(lambda: "notifications/cancelled" in sent_with(server, "first"))
        assert sent_with(server, "second") == []
        assert not [one for one in server.asked if one.body and "method" not in one.message], "nobody answered it"


async def test_t_84_a_renewed_token_of_the_same_account_goes_on(make_servers, caller) -> None:
    servers = make_servers()
    async with raw_server(asking_back("elicitation/create", message="Delete it?")) as server:
        upstream = server.upstream(Era.LEGACY)
        asked = await parked(servers, upstream, caller, account(server, "same", since=1.0))

        went_on = await servers.send(upstream, again(asked), caller, account(server, "same", since=2.0))

        assert json.loads(went_on.result)["resultType"] == "complete"


@pytest.mark.parametrize(("since", "ended"), [(4.0, True), (5.0, True), (6.0, False), (0.0, False)])
def test_t_84_an_account_has_ended_for_whoever_had_looked_before(since: float, *, ended: bool) -> None:
    cutoffs = CutOffs({(Cut.CONNECTION, cut_key("raw", "a")): 5.0, (Cut.CONNECTION, cut_key("raw", "")): 9.0})

    assert has_ended(cutoffs, account(RawServer(_never, port=80), "x", since=since)) is ended


@pytest.mark.parametrize("auth", [Auth.OAUTH_PERSON, Auth.OAUTH_SHARED])
async def test_t_84_a_call_under_way_is_taken_back_when_its_account_ends(tmp_path: Path, auth: Auth) -> None:
    """Whoever ends it, wherever: by what every process learns of."""
    asked = asyncio.Event()

    async def hangs(one: Asked, _: asyncio.StreamWriter) -> bytes:
        if one.message.get("params", {}).get("name") != "slow":
            return http(result(one, {"resultType": "complete", "content": []}))
        asked.set()
        await asyncio.Event().wait()
        return b""

    async with raw_server(hangs) as server:
        house = House(tmp_path)
        furnish(house, "files", server.url, "slow", "quick")
        with house.office.database.change(Concern.CATALOGUE) as session:
            set_auth(session, find(session, "files"), auth, {}, {}, house.office.vault)
        person, client = house.person("alice"), house.client()
        allow(house, person, "files.*")
        with house:
            watching = [
                asyncio.run_coroutine_threadsafe(work, house.loop)
                for work in (house.world.underway.watch(house.world.snapshots), leave_forever(house.world))
            ]
            subject = person.id if auth is Auth.OAUTH_PERSON else ""
            equipment = house.world.credentials.equipment
            tokens = Tokens(access="canary-" + "a" * 40, issuer="https://as.example", audience=server.url)
            await asyncio.to_thread(deeds.connect, equipment, "files", subject, tokens, who="user:x")
            token = minted(house, person, client)
            async with Line(door_of(house)) as line:
                await line.send("POST", "/mcp", *modern(token, "tools/call", {"name": "files_slow"}))
                await within(asked.wait(), 10)

                await asyncio.to_thread(deeds.end, equipment, "files", subject, who="user:x")
                got = await line.answer()

            assert (got.status, b"ended while it was under way" in got.body) == (403, True)
            assert [record["outcome"] for record in house.records("call.outcome")] == ["revoked"]
            await asyncio.to_thread(deeds.connect, equipment, "files", subject, tokens, who="user:x")
            async with Line(door_of(house)) as line:
                again = await line.ask("POST", "/mcp", *modern(token, "tools/call", {"name": "files_quick"}))
            assert again.status == 200, again.body
            for task in watching:
                task.cancel()


@pytest.mark.parametrize("swapped", [False, True])
async def test_t_84_what_a_server_left_with_one_account_is_not_brought_back_under_another(
    tmp_path: Path, *, swapped: bool
) -> None:
    async def asks(one: Asked, _: asyncio.StreamWriter) -> bytes:
        if one.message.get("params", {}).get("requestState") == "of-the-first":
            return http(result(one, {"resultType": "complete", "content": []}))
        question = {"method": "elicitation/create", "params": {"message": "Delete it?", "requestedSchema": {}}}
        told = {"inputRequests": {"q": question}, "requestState": "of-the-first"}
        return http(result(one, {"resultType": "input_required", **told}))

    async with raw_server(asks) as server:
        house = House(tmp_path)
        furnish(house, "files", server.url, "delete")
        with house.office.database.change(Concern.CATALOGUE) as session:
            set_auth(session, find(session, "files"), Auth.OAUTH_PERSON, {}, {}, house.office.vault)
        person, client = house.person("alice"), house.client()
        allow(house, person, "files.*")
        with house:
            equipment, token = house.world.credentials.equipment, ""
            first, second = (
                Tokens(access=f"{name}-" + "a" * 40, issuer="https://as.example", audience=server.url)
                for name in ("first", "second")
            )
            await asyncio.to_thread(deeds.connect, equipment, "files", person.id, first, who="user:x")
            token = minted(house, person, client)
            params = {"name": "files_delete"}
            asked = await one_call(house, token, params)
            assert asked["result"]["resultType"] == "input_required"
            if swapped:
                await asyncio.to_thread(deeds.end, equipment, "files", person.id, who="user:x")
                before = house.world.snapshots.current.epoch
                await asyncio.to_thread(deeds.connect, equipment, "files", person.id, second, who="user:x")
                await eventually(lambda: house.world.snapshots.current.epoch > before)

            answers = {"q": {"action": "accept", "content": {}}}
            retried = await one_call(
                house, token, params | {"requestState": asked["result"]["requestState"], "inputResponses": answers}
            )

    assert ("error" in retried) is swapped
    brought = [one for one in server.asked if b"of-the-first" in one.body]
    assert [one.headers["authorization"][:12] for one in brought] == ([] if swapped else ["Bearer first"])


async def one_call(house: House, token: str, params: dict) -> dict:
    async with Line(door_of(house)) as line:
        asking = {"_meta": {CAPABILITIES_KEY: {"elicitation": {"form": {}}}}}
        got = await line.ask("POST", "/mcp", *modern(token, "tools/call", params | asking))
    return got.json


async def _never(_asked: Asked, _writer: asyncio.StreamWriter) -> None:
    return None


@pytest.mark.parametrize("era", [Era.MODERN, Era.LEGACY])
async def test_t_84_a_stream_of_changes_ends_with_its_account_and_is_not_opened_again(make_servers, era: Era) -> None:
    servers, changing = make_servers(), Streaming()
    async with raw_server(changing) as server:
        upstream = server.upstream(era, capabilities=CHANGING)
        heard = [asyncio.create_task(all_of(servers, upstream, account(server, name))) for name in ("mine", "theirs")]
        for _ in heard:
            await changing.next()

        servers.forsake(lambda credential: credential.account == "mine")

        await within(heard[0], 20)
        opened = len([one for one in server.asked if is_stream(one) and "of-mine" in one.headers["authorization"]])
        await asyncio.sleep(1.5)  # after which a stream that broke is opened again
        assert opened == len(
            [one for one in server.asked if is_stream(one) and "of-mine" in one.headers["authorization"]]
        )
        assert not heard[1].done()
        heard[1].cancel()
        await asyncio.wait({heard[1]})


async def all_of(servers, upstream, credential: Credential) -> None:
    async for _ in servers.events(upstream, None, frozenset(), credential):
        pass


def is_stream(asked: Asked) -> bool:
    return asked.line.startswith("GET") or asked.method == "subscriptions/listen"
