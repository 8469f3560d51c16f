from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from starlette.applications import Starlette

from authz.errors import NoSigningKey
from authz.policy.policy import Policy
from authz.tables import Rule
from gateway import clock
from gateway.journal.index import Progress
from gateway.operating import health
from gateway.upstream.troubles import Trouble
from gateway.upstream.upstreams import Strain
from registry.catalogue.assembling import CHANGED, SUSPENDED

RULE = Rule(id="r1", subject="user:a", object="notes.*", action="call")


class Journal(SimpleNamespace):
    healthy: bool = True
    warnings: tuple[str, ...] = ()


class Keys:
    def __init__(self, *, missing: bool = False) -> None:
        self.missing = missing

    def signer(self, _now: float) -> object:
        if self.missing:
            raise NoSigningKey("there is no signing key")
        return object()


def world(
    *,
    age=0.0,
    trouble="",
    rules=(RULE,),
    keys=None,
    journal=None,
    upstreams=None,
    secrets=(),
    strains=None,
    paused=None,
    index=None,
):
    snapshot = SimpleNamespace(
        policy=Policy(rules),
        keys=keys or Keys(),
        secrets=secrets,
        catalogue=SimpleNamespace(upstreams=upstreams or {}, paused=paused or {}),
    )
    return SimpleNamespace(
        snapshots=SimpleNamespace(current=snapshot, age=lambda: age, trouble=trouble),
        journal=journal or Journal(),
        index=index or Progress(),
        upstreams=SimpleNamespace(strains=lambda: strains or {}),
        settings=SimpleNamespace(stale_limit=900.0),
    )


async def get(path, of):
    app = Starlette(routes=health.routes())
    app.state.world = of
    sent = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "headers": [],
        "query_string": b"",
    }
    await app(scope, receive, send)
    return sent[0]["status"], json.loads(sent[1]["body"])


async def test_a_live_process_says_so_whatever_is_wrong():
    assert await get("/healthz", world(age=1000.0)) == (200, {"status": "live"})


async def test_all_is_well():
    status, report = await get("/readyz", world())
    assert (status, report["status"]) == (200, "green")
    assert {check["name"] for check in report["checks"]} == {"journal", "database", "policy", "keys", "clock"}


@pytest.mark.parametrize(("age", "status", "state"), [(9, 200, "green"), (11, 200, "amber"), (61, 503, "red")])
async def test_a_silent_database_is_amber_then_red(age, status, state):
    answer = await get("/readyz", world(age=age))
    assert (answer[0], answer[1]["status"]) == (status, state)


async def test_a_state_that_cannot_be_taken_over_is_an_alarm_at_once():
    status, report = await get("/readyz", world(age=0.5, trouble="PolicyBroken"))
    assert (status, report["status"]) == (200, "amber")
    assert any("PolicyBroken" in check["why"] for check in report["checks"])
    assert (await get("/readyz", world(age=61, trouble="PolicyBroken")))[0] == 503


async def test_a_journal_that_cannot_be_written_is_red():
    status, report = await get("/readyz", world(journal=Journal(healthy=False)))
    assert status == 503
    assert report["checks"][0]["remedy"]


async def test_a_full_disk_is_told_before_it_is_too_late():
    status, report = await get("/readyz", world(journal=Journal(warnings=("9 % free",))))
    assert (status, report["status"]) == (200, "amber")


async def test_an_index_that_is_far_behind_is_told_and_stops_no_call():
    for progress, why in ((Progress(waiting=61.0), "last 61 s"), (Progress(trouble="OperationalError"), "Operational")):
        status, report = await get("/readyz", world(index=progress))
        (told,) = [check for check in report["checks"] if check["name"] == "journal index"]
        assert (status, told["state"]) == (200, "amber")
        assert why in told["why"]
    _, report = await get("/readyz", world(index=Progress(waiting=59.0)))
    assert "journal index" not in {check["name"] for check in report["checks"]}


async def test_without_a_signing_key_no_calls_are_promised():
    assert (await get("/readyz", world(keys=Keys(missing=True))))[0] == 503


async def test_an_empty_policy_and_a_broken_rule_are_amber():
    assert (await get("/readyz", world(rules=())))[1]["status"] == "amber"
    broken = Rule(id="r_forced", subject="eval(1)", object="notes.*", action="call")
    report = (await get("/readyz", world(rules=(RULE, broken))))[1]
    assert report["status"] == "amber"
    assert any("r_forced" in check["why"] for check in report["checks"])


async def test_a_server_that_is_down_is_named_with_its_remedy_and_is_not_our_illness():
    down = SimpleNamespace(stale_since=1.0, trouble="unreachable", failure="it refuses connections: start it")
    status, report = await get("/readyz", world(upstreams={"notes": down, "clock": SimpleNamespace(stale_since=None)}))
    assert (status, report["status"]) == (200, "amber")
    named = {check["name"]: check for check in report["checks"]}
    assert "no longer offered" in named["server:notes"]["why"]
    assert named["server:notes"]["remedy"] == "it refuses connections: start it"


async def test_of_a_server_that_only_cannot_be_read_the_tools_are_offered_and_nobody_sees_them_change():
    unread = SimpleNamespace(stale_since=1.0, trouble="not-connected", failure="it wants an account: connect one")
    _, report = await get("/readyz", world(upstreams={"notes": unread}))
    named = {check["name"]: check for check in report["checks"]}
    assert named["server:notes"]["why"].endswith("its tools stay callable, and nobody sees if they change")


async def test_a_server_that_this_process_leaves_alone_is_named_with_its_remedy():
    notes = SimpleNamespace(stale_since=None)
    strains = {"notes": Strain(0, Trouble.SLOW, 7.0), "gone": Strain(0, Trouble.SLOW, 7.0)}
    status, report = await get("/readyz", world(upstreams={"notes": notes}, strains=strains))
    assert (status, report["status"]) == (200, "amber")
    amber = [check for check in report["checks"] if check["state"] == "amber"]
    assert [check["name"] for check in amber] == ["server:notes"]
    assert "in 7 s" in amber[0]["why"]
    assert "ostiary server limits notes" in amber[0]["remedy"]


async def test_a_clock_that_was_moved_is_red(monkeypatch):
    monkeypatch.setattr(clock, "_begun", clock._difference() - 3600.0)
    status, report = await get("/readyz", world())
    assert status == 503
    assert any("+3600 s" in check["why"] for check in report["checks"])


async def test_a_secret_that_was_put_back_is_named(monkeypatch):
    status, report = await get("/readyz", world(secrets=("the secret of server:notes (header) is not ...",)))
    assert (status, report["status"]) == (200, "amber")
    assert any("server:notes" in check["why"] for check in report["checks"])


async def test_what_was_approved_and_is_offered_to_nobody_is_said():
    up = SimpleNamespace(stale_since=None)
    paused = {
        ("tool", "notes.add"): CHANGED, ("tool", "notes.read"): CHANGED, ("tool", "notes.other"): "it is new",
        ("tool", "board.a"): SUSPENDED,
    }  # fmt: skip
    status, report = await get("/readyz", world(upstreams={"notes": up, "clock": up}, paused=paused))
    assert status == 200
    told = {check["name"]: (check["state"], check["why"]) for check in report["checks"]}
    assert told["server:notes"] == ("amber", f"2 of its definitions are offered to nobody: {CHANGED}")
    assert told["server:clock"] == ("green", "")
    assert told["server:board"] == ("amber", f"1 of its definitions are offered to nobody: {SUSPENDED}")
