"""T-101: a server that is a process of ours has its own directory, the system's programs, and nothing else.

What bubblewrap must hold is tried from inside; what must hold without it too is tried without it.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gateway.upstream import UpstreamBroken, UpstreamUnreachable
from gateway.upstream.channels import sandbox
from tests.fakes.servers.channels import MIB, alive, descendants, until, workers
from tests.servers.nobody import as_nobody

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.fakes.servers.channels import Processes

SANDBOXED = pytest.mark.servers  # bubblewrap is a Debian package


@pytest.fixture
async def processes(tmp_path: Path) -> AsyncIterator[Callable[..., Processes]]:
    async with workers(tmp_path / "data") as make:
        yield make


def keeper_of(process: Processes) -> int:
    ((_, talk),) = process.engine()._opened._talks.values()
    pid: int = talk.wire.pid
    return pid


@SANDBOXED
async def test_t_101_the_sandbox_can_be_had_here() -> None:
    assert not sandbox.trouble()


@SANDBOXED
@pytest.mark.parametrize(
    "path", ["/etc/shadow", "/etc/hosts", "/etc/ssh", "/home", "/var/log", "/proc/1/root/etc/shadow"]
)
async def test_t_101_nothing_of_the_machine_can_be_read(processes: Callable[..., Processes], path: str) -> None:
    process = processes()
    assert "refused" in await process.call("read", path=path)
    assert "refused" in await process.call("list", path=path)


@SANDBOXED
async def test_t_101_neither_our_data_nor_another_persons_directory_is_there(
    processes: Callable[..., Processes], tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "master.key").write_text("ours")
    process = processes()
    homes = {who: json.loads(await process.call("environment", who))["HOME"] for who in ("ann", "bob")}
    assert "refused" in await process.call("read", "ann", path=str(data / "master.key"))
    assert "refused" in await process.call("list", "ann", path=homes["bob"])
    assert "done" in await process.call("list", "ann", path=homes["ann"])
    assert await process.call("list", "ann", path=str(data)) == "done: ['stdio']"


@SANDBOXED
@pytest.mark.parametrize("path", ["/x", "/usr/x", "/etc/x", "/dev/x", "/proc/sys/vm/laptop_mode"])
async def test_t_101_nothing_but_its_own_can_be_written(processes: Callable[..., Processes], path: str) -> None:
    process = processes()
    assert "refused" in await process.call("write", path=path)
    assert "done" in await process.call("write", path="mine")
    assert "done" in await process.call("write", path="/tmp/mine")


@SANDBOXED
async def test_t_101_what_it_may_read_it_may_not_write(processes: Callable[..., Processes], tmp_path: Path) -> None:
    from tests.fakes.servers.channels import SEEN

    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "a").write_text("text")
    process = processes(read=(*SEEN, shared))
    assert "text" in await process.call("read", path=str(shared / "a"))
    assert "refused" in await process.call("write", path=str(shared / "b"))


@SANDBOXED
async def test_t_101_there_is_no_network_unless_it_is_declared(processes: Callable[..., Processes]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert "refused" in await processes().call("connect", port=port)
        assert "done" in await processes(network=True).call("connect", port=port)


@SANDBOXED
async def test_t_101_no_other_process_can_be_seen_or_ended(processes: Callable[..., Processes]) -> None:
    process = processes()
    seen = await process.call("list", path="/proc")
    assert str(os.getpid()) not in json.loads(seen.removeprefix("done: ").replace("'", '"'))
    assert "refused" in await process.call("kill", pid=os.getpid())


@SANDBOXED
async def test_t_101_memory_that_is_too_much_is_not_given(processes: Callable[..., Processes]) -> None:
    process = processes(memory=64 * MIB)
    assert "ate" in await process.call("eat", size=8 * MIB)
    assert "MemoryError" in await process.call("eat", size=256 * MIB)


async def test_t_101_memory_is_limited_without_a_sandbox_too(processes: Callable[..., Processes]) -> None:
    assert "MemoryError" in await processes(sandbox="off", memory=64 * MIB).call("eat", size=256 * MIB)


@pytest.mark.parametrize("way", ["share", "stow"])
async def test_t_101_memory_that_is_nobodys_own_counts_too(processes: Callable[..., Processes], way: str) -> None:
    process = processes(sandbox="off", memory=64 * MIB)
    await process.call("echo", text="x")
    with pytest.raises(UpstreamBroken):
        await process.call(way, size=128 * MIB)


@SANDBOXED
@pytest.mark.parametrize("way", ["share", "stow"])
async def test_t_101_memory_that_is_nobodys_own_counts_in_the_sandbox(
    processes: Callable[..., Processes], way: str
) -> None:
    process = processes(memory=64 * MIB)
    await process.call("echo", text="x")
    with pytest.raises(UpstreamBroken):
        await process.call(way, size=128 * MIB)


async def test_t_101_too_many_processes_end_all_of_them(processes: Callable[..., Processes]) -> None:
    process = processes(sandbox="off", processes=8)
    await process.call("echo", text="x")
    keeper = keeper_of(process)
    with pytest.raises(UpstreamBroken):
        await process.call("bomb", count=40, seconds=8)
    await until(lambda: not alive([keeper, *descendants(keeper)]))


@SANDBOXED
def test_t_101_the_system_itself_counts_the_processes_of_one_that_is_not_root(tmp_path: Path) -> None:
    assert "stopped at 19" in as_nobody(processes=20, bomb=100)


async def test_t_101_no_core_is_dumped_and_few_files_are_open(processes: Callable[..., Processes]) -> None:
    limits = await processes(sandbox="off", files=64).call("limits")
    rows = {line[:26].strip(): line[26:].split() for line in limits.splitlines()}
    assert rows["Max core file size"][:2] == ["0", "0"]
    assert rows["Max open files"][:2] == ["64", "64"]


@SANDBOXED
async def test_t_101_one_that_ignores_sigterm_and_what_it_left_behind_are_ended(
    processes: Callable[..., Processes],
) -> None:
    process = processes(flags=("--stubborn",))
    await process.call("leave", path="beat")
    tree = descendants(keeper_of(process))
    assert len(tree) >= 3
    await process.servers.close()
    assert not alive(tree)


@pytest.mark.parametrize("around", [pytest.param("required", marks=SANDBOXED), "off"])
async def test_t_101_the_keys_that_the_kernel_keeps_are_shared_with_nobody(
    processes: Callable[..., Processes], around: str
) -> None:
    process = processes(sandbox=around)
    assert await process.call("hide", "ann") == "True"
    assert await process.call("seek", "ann") == "True"
    assert await process.call("seek", "bob") == "False"


@SANDBOXED
async def test_t_101_our_environment_is_not_its_own(
    processes: Callable[..., Processes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OSTIARY_MASTER_KEY", "canary-of-ours")
    process = processes()
    assert "canary-of-ours" not in await process.call("environment")
    assert "canary-of-ours" not in await process.call("read", path="/proc/1/environ")


async def test_t_101_without_a_sandbox_nothing_is_run_unless_that_is_written(
    processes: Callable[..., Processes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "trouble", lambda: "bubblewrap is not installed")
    with pytest.raises(UpstreamUnreachable, match="without a sandbox it is not run"):
        await processes().call("echo", text="x")
    assert await processes(sandbox="off").call("echo", text="x") == "x"


async def test_t_101_a_secret_is_on_no_command_line(
    processes: Callable[..., Processes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIVEN", "canary-of-a-server")
    process = processes(sandbox="off", env={"KEY": "env:GIVEN"})
    assert "canary-of-a-server" in await process.call("environment")
    keeper = keeper_of(process)
    for pid in [keeper, *descendants(keeper)]:
        told = await asyncio.to_thread(_command_line, pid)
        assert b"canary-of-a-server" not in told


def _command_line(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()
