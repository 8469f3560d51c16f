"""Servers that are processes of ours: begun when they are asked, shared by whom they may be, ended whole."""

import asyncio
import json
import os
import signal

import pytest

from gateway.egress.reply import Terms
from gateway.upstream import Answer, UpstreamBroken, UpstreamBusy, UpstreamSlow, UpstreamUnreachable
from gateway.upstream.channels import sandbox, stdio
from gateway.upstream.channels.opened import OF_ONE, SOUND
from gateway.upstream.channels.process import Process
from registry.catalogue import Credential
from registry.tables import Era
from tests.fakes.processes import end, start
from tests.fakes.servers.channels import (
    MIB,
    alive,
    call,
    declared,
    descendants,
    text_of,
    until,
    upstream_of,
)

SHORT = Terms(1.0, 4.0, MIB)
OFF = {"sandbox": "off"}


def keepers(process) -> list[int]:
    return [talk.wire.pid for _, talk in process.engine()._opened._talks.values()]


async def test_it_is_read_in_either_era(processes, caller):
    for era, flags in ((Era.LEGACY, ()), (Era.MODERN, ("--modern",))):
        process = processes(era, flags=flags, **OFF)
        assert (await process.servers.probe(process.upstream, None)).era is era
        assert await process.call("echo", None, caller, text="hello") == "hello"


async def test_it_is_begun_by_the_first_call_and_kept_for_the_next(processes, caller):
    process = processes(**OFF)
    assert await process.call("pid", "ann", caller) == await process.call("pid", "ann", caller)


async def test_many_calls_at_a_time_get_their_own_answers(processes, caller):
    process = processes(**OFF)
    said = await asyncio.gather(*(process.call("echo", "ann", caller, text=str(n)) for n in range(100)))
    assert said == [str(n) for n in range(100)]


async def test_two_people_have_two_processes_and_two_directories(processes, caller):
    process = processes(**OFF)
    homes = {json.loads(await process.call("environment", who, caller))["HOME"] for who in ("ann", "bob")}
    pids = {await process.call("pid", who, caller) for who in ("ann", "bob")}
    assert len(pids) == len(homes) == 2


async def test_what_is_said_to_keep_nothing_is_shared(processes, caller):
    process = processes(per="server", **OFF)
    assert await process.call("pid", "ann", caller) == await process.call("pid", "bob", caller)


async def test_it_gets_the_environment_that_is_declared_and_nothing_else(processes, caller, monkeypatch, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("from-a-file\n")
    secret.chmod(0o600)
    monkeypatch.setenv("GIVEN", "from-outside")
    monkeypatch.setenv("OSTIARY_MASTER_KEY", "ours")
    env = {"PLAIN": "as it stands", "KEY": "env:GIVEN", "FILE": f"file:{secret}"}
    process = processes(env=env, inherit=("HOME_OF_NOBODY", "GIVEN"), **OFF)
    seen = json.loads(await process.call("environment", "ann", caller))
    assert {seen.pop(name) for name in env} == {"as it stands", "from-outside", "from-a-file"}
    assert set(seen) == {"PATH", "LANG", "TMPDIR", "HOME", "GIVEN"} | ({"LC_CTYPE"} & set(seen))


async def test_a_secret_that_cannot_be_had_is_named_and_nothing_is_run(processes, caller):
    process = processes(env={"KEY": "env:NOT_THERE_AT_ALL"}, **OFF)
    with pytest.raises(UpstreamUnreachable, match="the environment has no NOT_THERE_AT_ALL"):
        await process.call("echo", "ann", caller)


async def test_a_credential_is_in_the_variable_that_the_file_names(processes, caller):
    process = processes(credential="TOKEN", **OFF)
    credential = Credential("piped", "stdio:piped", b"authorization", b"Bearer abc-of-ann")
    answer = await process.servers.send(process.upstream, call("environment"), caller, credential)
    assert json.loads(text_of(answer))["TOKEN"] == "abc-of-ann"


async def test_another_credential_is_another_process(processes, caller):
    process = processes(credential="TOKEN", per="server", **OFF)
    pids = set()
    for value in (b"one", b"two"):
        credential = Credential("piped", "stdio:piped", b"x-key", value)
        pids.add(text_of(await process.servers.send(process.upstream, call("pid"), caller, credential)))
    assert len(pids) == 2


async def test_one_person_keeps_nobody_else_out(processes, caller):
    """With each set of abilities that a client declares comes a process of its own."""
    process = processes(Era.LEGACY, **OFF)

    async def sleep(number: int) -> Answer:
        ask = call("sleep", "ann", seconds=1.5)
        ask.capabilities = b'{"roots":{"%d":{}}}' % number
        return await process.servers.send(process.upstream, ask, caller, None)

    asleep = [asyncio.ensure_future(sleep(number)) for number in range(OF_ONE + 4)]
    assert await process.call("echo", "bob", text="in") == "in"
    said = await asyncio.gather(*asleep, return_exceptions=True)
    assert [type(one) for one in said if not isinstance(one, Answer)] == [UpstreamBusy] * 4


async def test_progress_goes_to_whoever_asked_for_it(processes, caller):
    process = processes(**OFF)
    ask = call("progress")
    ask.progress = True
    await process.servers.send(process.upstream, ask, caller, None)
    assert [method for method, _ in caller.heard] == ["notifications/progress"] * 2


async def test_a_question_is_put_to_a_legacy_caller(processes, caller):
    caller.reply = b'{"action":"accept","content":{}}'
    process = processes(**OFF)
    ask = call("ask")
    ask.legacy_session, ask.capabilities = "s", b'{"elicitation":{}}'
    said = json.loads(text_of(await process.servers.send(process.upstream, ask, caller, None)))
    assert said["result"]["action"] == "accept"


async def test_a_modern_caller_is_asked_in_rounds(processes, caller):
    process = processes(**OFF)
    ask = call("ask")
    ask.capabilities = b'{"elicitation":{}}'
    first = json.loads((await process.servers.send(process.upstream, ask, caller, None)).result)
    assert first["resultType"] == "input_required"
    (key,) = first["inputRequests"]
    again = call("ask")
    again.capabilities = ask.capabilities
    responses = json.dumps({key: {"action": "decline"}}).encode()
    state = json.dumps(first["requestState"]).encode()
    again.params = {**again.params, "requestState": state, "inputResponses": responses}
    said = json.loads(text_of(await process.servers.send(process.upstream, again, caller, None)))
    assert said["result"]["action"] == "decline"


async def test_on_a_shared_process_nobody_is_asked(processes, caller):
    caller.reply = b'{"action":"accept"}'
    process = processes(per="server", **OFF)
    ask = call("ask")
    ask.legacy_session, ask.capabilities = "s", b'{"elicitation":{}}'
    said = json.loads(text_of(await process.servers.send(process.upstream, ask, caller, None)))
    assert "error" in said
    assert not caller.questions


@pytest.mark.parametrize(("era", "flags"), [(Era.LEGACY, ()), (Era.MODERN, ("--modern",))])
async def test_a_call_that_is_given_up_is_cancelled_at_the_server(processes, caller, era, flags):
    process = processes(era, SHORT, flags=flags, **OFF)
    with pytest.raises(UpstreamSlow):
        await process.call("sleep", "ann", caller, seconds=20)
    assert len(json.loads(await process.call("cancelled", "ann", caller))) == 1


@pytest.mark.parametrize(("era", "flags"), [(Era.LEGACY, ()), (Era.MODERN, ("--modern",))])
async def test_it_says_when_a_list_changed(processes, caller, era, flags):
    process = processes(era, flags=flags, **OFF)
    await process.servers.probe(process.upstream, None)
    events = process.servers.events(process.upstream, None, frozenset(), None)
    first = asyncio.ensure_future(anext(events))
    async with asyncio.timeout(20):
        while era is Era.LEGACY and not first.done():  # what was said before we listened is not heard
            await process.call("changed", None, caller)
            await asyncio.wait({first}, timeout=0.1)
        assert (await first).method == "notifications/tools/list_changed"
    await events.aclose()


async def test_an_idle_one_is_let_go_and_begun_again_by_the_next_call(processes, caller):
    process = processes(**OFF)
    before = await process.call("pid", "ann", caller)
    (keeper,) = keepers(process)
    await process.rest()
    await until(lambda: not alive([keeper]))
    assert await process.call("pid", "ann", caller) != before


async def test_one_that_is_not_approved_any_more_is_ended_at_once(processes, caller):
    process = processes(**OFF)
    await process.call("echo", "ann", caller, text="x")
    tree = [pid for keeper in keepers(process) for pid in (keeper, *descendants(keeper))]
    process.servers.leave("another")
    assert len(keepers(process)) == 1
    process.servers.leave("piped")
    await until(lambda: not alive(tree))


async def test_one_that_sleeps_is_not_woken_to_be_read(processes, caller):
    process = processes(**OFF)
    await process.servers.probe(process.upstream, None)
    await process.rest()
    with pytest.raises(UpstreamBusy):
        await process.servers.probe(process.upstream, None)
    assert not keepers(process)


async def test_one_that_dies_takes_its_call_along_and_is_left_alone_for_a_moment(processes, caller):
    process = processes(**OFF)
    with pytest.raises(UpstreamBroken, match="has ended"):
        await process.call("die", "ann", caller)
    with pytest.raises(UpstreamBusy) as busy:
        await process.call("echo", "ann", caller)
    assert busy.value.retry_after >= 1


async def test_one_that_was_sound_and_is_killed_between_two_calls_is_begun_again_at_once(processes, caller):
    process = processes(**OFF)
    pid = int(await process.call("pid", "ann", caller))
    opened = process.engine()._opened
    ((_, talk),) = opened._talks.values()
    talk.begun -= SOUND + 1
    os.kill(pid, signal.SIGKILL)
    await until(lambda: not opened._talks)
    assert int(await process.call("pid", "ann", caller)) != pid


async def test_there_are_not_more_than_there_may_be(processes, caller, monkeypatch):
    monkeypatch.setattr(stdio, "MOST", 2)
    process = processes(**OFF)
    for who in ("ann", "bob", "cat"):
        await process.call("echo", who, caller, text="x")
    assert len(keepers(process)) == 2
    slow = [asyncio.ensure_future(process.call("sleep", who, caller, seconds=5)) for who in ("dan", "eve")]
    await until(lambda: sum(talk.busy for _, talk in process.engine()._opened._talks.values()) == 2)
    with pytest.raises(UpstreamBusy, match="too many people"):
        await process.call("echo", "fay", caller, text="x")
    for one in slow:
        one.cancel()


async def test_a_command_that_is_not_there_is_said_to_be_broken(processes, caller):
    process = processes(command=("/no/such/program",), **OFF)
    with pytest.raises(UpstreamBroken, match="as soon as it begins; nothing was sent"):
        await process.call("echo", "ann", caller)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"read": ("/no/such/folder",), **OFF}, "there is no /no/such/folder"),
        ({"directory": "/no/such/folder", **OFF}, "there is no /no/such/folder"),
        ({"read": (), "sandbox": "required"}, "add its folder to read"),
    ],
)
async def test_what_it_names_must_be_there_and_be_seen(processes, caller, monkeypatch, changes, said):
    monkeypatch.setattr(sandbox, "trouble", lambda: "")
    with pytest.raises(UpstreamUnreachable, match=said):
        await processes(**changes).call("echo", "ann", caller)


async def test_another_command_than_the_approved_one_is_not_run(processes, caller):
    process = processes(**OFF)
    process.upstream = upstream_of(declared(flags=("--other",), **OFF))
    with pytest.raises(UpstreamUnreachable, match="not the one that was approved"):
        await process.call("echo", "ann", caller)


async def test_what_the_file_does_not_declare_is_not_run(processes, caller):
    process = processes(**OFF)
    process.upstream = upstream_of(declared(slug="elsewhere", **OFF))
    with pytest.raises(UpstreamUnreachable, match="operator's file"):
        await process.call("echo", "ann", caller)


async def test_one_that_ignores_to_be_told_is_killed(processes, caller):
    process = processes(flags=("--stubborn",), **OFF)
    await process.call("echo", "ann", caller, text="x")
    (keeper,) = keepers(process)
    tree = descendants(keeper)
    await process.servers.close()
    assert tree
    assert not alive(tree)


async def test_grandchildren_that_left_go_too(processes, caller, tmp_path):
    process = processes(**OFF)
    beat = tmp_path / "beat"
    await process.call("leave", "ann", caller, path=str(beat))
    await until(beat.exists)
    await process.servers.close()
    before = beat.stat().st_size
    await asyncio.sleep(0.3)
    assert beat.stat().st_size == before


async def test_its_stderr_is_in_the_log_without_secrets(processes, caller, monkeypatch, caplog):
    monkeypatch.setenv("GIVEN", "s3cret-value")
    process = processes(env={"KEY": "env:GIVEN"}, **OFF)
    await process.call("complain", "ann", caller, text="cannot log in with s3cret-value\x1b[2J")
    await until(lambda: "cannot log in" in caplog.text)
    assert "piped says: cannot log in with [redacted]" in caplog.text
    assert "s3cret-value" not in caplog.text
    assert "\x1b" not in caplog.text


async def test_a_flood_on_stderr_does_not_fill_the_log(processes, caller, caplog):
    process = processes(**OFF)
    await process.call("complain", "ann", caller, text="x\n" * 5000)
    await process.servers.close()
    assert len(caplog.records) < 200
    assert "more lines of its stderr were left out" in caplog.text or "lines of its stderr were left out" in caplog.text


async def test_a_secret_is_in_no_repr(processes):
    process = processes(env={"KEY": "very-secret"}, **OFF)
    place = process.engine()._places.place(process.upstream, None, None, b"{}")
    wire = place.make()
    assert isinstance(wire, Process)
    assert wire._orders.environment["KEY"] == "very-secret"
    assert "very-secret" not in repr(wire._orders) + repr(place) + repr(wire)


def test_it_goes_with_the_gateway_even_when_that_is_killed(tmp_path):
    """The gateway's place is taken by a small process that begins one, says which, and is killed."""
    gateway = start("-m", "tests.gateway.upstream.channels.dying", str(tmp_path))
    tree = [int(pid) for pid in gateway.stdout.readline().split()]
    gateway.kill()
    end(gateway)
    assert len(tree) >= 2
    asyncio.run(until(lambda: not alive(tree)))
