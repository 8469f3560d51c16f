"""Keeps one server's process: started by the gateway as a program of its own, and gone with it.

It limits the process before it runs, counts what comes of it, and ends the whole tree of it, whatever that does. It is
run by path and knows nothing but the standard library, so that it is there at once and small.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h
LOOK_EVERY = 0.5 if os.geteuid() else 0.1  # seconds; the system itself counts no processes of root
GRACE = 2.0  # seconds from SIGTERM to SIGKILL
ENDING = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
HEARD = {*ENDING, signal.SIGCHLD}
KEYCTL = {"x86_64": 250, "aarch64": 219, "riscv64": 219, "ppc64le": 271, "s390x": 280}  # its number, by machine
KEYCTL_JOIN_SESSION_KEYRING = 1
SIZES = ("RssAnon:", "RssShmem:", "VmSwap:")  # of /proc/PID/status
COULD_NOT_START = 126


def main() -> int:
    plan = json.loads(sys.argv[1])
    signal.pthread_sigmask(signal.SIG_BLOCK, HEARD)
    prctl = ctypes.CDLL(None).prctl
    prctl(PR_SET_PDEATHSIG, signal.SIGTERM)  # we do not outlive the gateway,
    prctl(PR_SET_CHILD_SUBREAPER, 1)  # and whoever loses its parent is ours to end
    if os.getppid() != plan["gateway"]:
        return COULD_NOT_START
    os.umask(0o077)
    _leave_keyring()
    try:
        child = _start(plan)
    except OSError as error:
        sys.stderr.write(f"ostiary: {plan['command'][0]} cannot be started ({error.strerror})\n")
        return COULD_NOT_START
    with Path(os.devnull).open("r+") as nothing:  # the ends of its pipes are its own
        os.dup2(nothing.fileno(), 0)
        os.dup2(nothing.fileno(), 1)
    return _watch(child, plan)


def _leave_keyring() -> None:
    """No namespace divides the kernel's keys: what is begun with our session's would share it with all others."""
    number = KEYCTL.get(os.uname().machine)
    if number is not None:
        ctypes.CDLL(None).syscall(number, KEYCTL_JOIN_SESSION_KEYRING, None)


def _start(plan: dict[str, Any]) -> int:
    if not plan["sandbox"]:
        return _popen(plan["command"], plan, ()).pid
    told, tell = os.pipe()
    wait, go = os.pipe()
    names = os.memfd_create("passwd")
    os.write(names, plan["passwd"].encode())
    os.lseek(names, 0, os.SEEK_SET)
    fds = {"{info}": tell, "{block}": wait, "{passwd}": names}
    sandbox = [str(fds.get(word, word)) for word in plan["sandbox"]]
    process = _popen(sandbox + plan["command"], plan, (tell, wait, names))
    for fd in (tell, wait, names):
        os.close(fd)
    _limit_processes(told, plan["processes"])
    with contextlib.suppress(BrokenPipeError):
        os.write(go, b"1")
    os.close(go)
    return process.pid


def _popen(command: list[str], plan: dict[str, Any], fds: tuple[int, ...]) -> subprocess.Popen[bytes]:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_DATA, (plan["memory"], plan["memory"]))  # what is reserved only is free
        resource.setrlimit(resource.RLIMIT_NOFILE, (plan["files"], plan["files"]))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HEARD)

    return subprocess.Popen(  # noqa: S603  # the command is the operator's
        command,
        pass_fds=fds,
        cwd=plan["directory"],
        start_new_session=True,
        preexec_fn=limit,  # noqa: PLW1509  # there are no threads here
    )


def _limit_processes(told: int, processes: int) -> None:
    """Within a user namespace of its own the system counts its processes alone; the count is set before it begins."""
    with os.fdopen(told) as info:
        said = info.read()
    if said:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # it is gone, or another's: it is counted anyway
            resource.prlimit(json.loads(said)["child-pid"], resource.RLIMIT_NPROC, (processes + 1, processes + 1))


def _watch(child: int, plan: dict[str, Any]) -> int:
    """Until it ends, is to end, or takes too much."""
    while True:
        heard = signal.sigtimedwait(HEARD, LOOK_EVERY)
        if heard is not None and heard.si_signo in ENDING:
            _ask_to_end(child)
            return _end(child)
        status = _reap(child)
        if status is not None:
            _end(child)
            return status
        if os.getppid() != plan["gateway"]:
            return _end(child)
        excess = _excess(plan)
        if excess:
            sys.stderr.write(f"ostiary: ended, because it took {excess}\n")
            return _end(child)


def _excess(plan: dict[str, Any]) -> str:
    tree = _tree()
    if len(tree) > plan["processes"] + 3:  # the sandbox itself is two
        return f"more than {plan['processes']} processes"
    if _memory(tree) > plan["memory"]:
        return f"more than {plan['memory'] // 1024 // 1024} MiB of memory"
    return ""


def _memory(tree: list[int]) -> int:
    """Bytes of all of them. Shared memory counts wherever it is mapped; if more lies in files of memory, that does."""
    own = mapped = 0
    for pid in tree:
        told = _status(pid)
        own += told.get("RssAnon", 0) + told.get("VmSwap", 0)
        mapped += told.get("RssShmem", 0)
    files = {one.st_ino: one.st_blocks * 512 for pid in tree for one in _memory_files(pid)}
    return own + max(mapped, sum(files.values()))


def _status(pid: int) -> dict[str, int]:
    """Its sizes in bytes; nothing once it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(errors="replace").splitlines()
    except OSError:
        return {}
    words = (line.split() for line in lines if line.startswith(SIZES))  # the first line is the process's own to say
    return {name.rstrip(":"): int(size) * 1024 for name, size, _ in words}


def _memory_files(pid: int) -> list[os.stat_result]:
    """What it holds open that is memory and no file of any directory (memfd_create)."""
    found: list[os.stat_result] = []
    with contextlib.suppress(OSError):
        for fd in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                if str(fd.readlink()).startswith("/memfd:"):
                    found.append(fd.stat())
    return found


def _tree() -> list[int]:
    """Every process that came of it, parents first."""
    found = [os.getpid()]
    for pid in found:
        found += _children(pid)
    return found[1:]


def _children(pid: int) -> list[int]:
    pids: list[int] = []
    for thread in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            pids += map(int, thread.read_text().split())
    return pids


def _ask_to_end(child: int) -> None:
    """The sandbox's own process would take all down at once; whoever is inside may end in good order."""
    tree = _tree()
    for pid in tree if len(tree) == 1 else tree[1:] if _is_sandbox(child) else tree:
        _kill(pid, signal.SIGTERM)
    until = time.monotonic() + GRACE
    while time.monotonic() < until and _reap(child) is None:
        signal.sigtimedwait({signal.SIGCHLD}, 0.1)


def _is_sandbox(child: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{child}/exe").readlink().name == "bwrap"
    return False


def _end(child: int) -> int:
    """SIGKILL to all of it, until nothing is left: what is started meanwhile is ours too."""
    _kill(child, signal.SIGKILL)
    while True:
        for pid in _tree():
            _kill(pid, signal.SIGKILL)
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return 128 + signal.SIGKILL
        if pid == 0:
            signal.sigtimedwait({signal.SIGCHLD}, 0.02)


def _reap(child: int) -> int | None:
    """Its exit status, once it has ended; whoever else ended is buried."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return COULD_NOT_START
        if pid == 0:
            return None
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def _kill(pid: int, signum: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signum)


if __name__ == "__main__":
    sys.exit(main())
