"""A legacy or modern server on stdin and stdout, as small as it goes, with tools that try to misbehave.

Uses the standard library alone, so that it runs in a sandbox that has nothing else.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

MODERN = "--modern" in sys.argv
STUBBORN = "--stubborn" in sys.argv
_lock = threading.Lock()
_answers: dict[str, dict[str, Any]] = {}
_told = threading.Condition()
_cancelled: list[Any] = []


def say(message: dict[str, Any]) -> None:
    with _lock:
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        sys.stdout.flush()


def text(value: object) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": value if isinstance(value, str) else json.dumps(value)}]}


def tried(act: Any) -> str:
    try:
        return f"done: {act()}"
    except BaseException as error:  # noqa: BLE001  # whatever stops it
        return f"refused: {type(error).__name__}: {error}"


def asked(method: str, params: dict[str, Any]) -> dict[str, Any]:
    """Ask the client back, and wait."""
    number = f"ask-{time.monotonic_ns()}"
    say({"id": number, "method": method, "params": params})
    with _told:
        _told.wait_for(lambda: number in _answers, 30)
        return _answers[number]


def connect(port: int) -> str:
    with socket.create_connection(("127.0.0.1", port), 2):
        return "connected"


def eat(size: int) -> str:
    held = bytearray(size)
    held[::4096] = b"x" * len(held[::4096])
    return f"ate {len(held)}"


def share(size: int) -> str:
    """Memory that is nobody's own."""
    with mmap.mmap(-1, size) as held:
        held[::4096] = b"x" * len(range(0, size, 4096))
        time.sleep(5)
    return "shared"


def stow(size: int) -> str:
    """Memory that is nowhere mapped."""
    held = os.memfd_create("x")
    for _ in range(size // 65536):
        os.write(held, bytes(65536))
    time.sleep(5)
    return "stowed"


def key(call: int, *what: Any) -> int:
    """A call about the kernel's keys: 0 is add_key, 2 is keyctl; -3 stands for the keys of the session."""
    first = {"x86_64": 248, "aarch64": 217}[os.uname().machine]
    return int(ctypes.CDLL(None).syscall(first + call, *what))


def bomb(count: int, seconds: float) -> str:
    children = []
    try:
        for _ in range(count):
            time.sleep(0.001)
            children.append(subprocess.Popen(["/bin/sleep", "30"]))  # those begun so far must end
        time.sleep(seconds)
    finally:
        for child in children:
            child.kill()
    return str(len(children))


def leave(path: str) -> str:
    """A grandchild that has left its group and its parent, and beats."""
    beating = f"import time\nwhile True:\n open({path!r}, 'a').write('.')\n time.sleep(0.05)"
    outer = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {beating!r}], start_new_session=True)"
    subprocess.run([sys.executable, "-c", outer], check=True)
    return "left"


def progress(token: object, steps: int = 2) -> str:
    for step in range(1, steps + 1):
        say({"method": "notifications/progress", "params": {"progressToken": token, "progress": step}})
    return "went on"


def babble(line: str) -> None:
    """Without end, on a thread of its own, once the call has its answer."""

    def speak() -> None:
        time.sleep(0.1)
        while True:
            with _lock:
                sys.stdout.write(f"{line}\n" * 500)
                sys.stdout.flush()

    threading.Thread(target=speak, daemon=True).start()


TOOLS: dict[str, Any] = {
    "echo": lambda a, _: a.get("text", ""),
    "pid": lambda _a, _p: os.getpid(),
    "environment": lambda _a, _p: dict(os.environ),
    "read": lambda a, _: tried(lambda: Path(a["path"]).read_text()),
    "list": lambda a, _: tried(lambda: sorted(path.name for path in Path(a["path"]).iterdir())),
    "write": lambda a, _: tried(lambda: Path(a["path"]).write_text("0")),
    "connect": lambda a, _: tried(lambda: connect(a["port"])),
    "eat": lambda a, _: tried(lambda: eat(a["size"])),
    "share": lambda a, _: tried(lambda: share(a["size"])),
    "stow": lambda a, _: tried(lambda: stow(a["size"])),
    "hide": lambda _a, _p: str(key(0, b"user", b"ostiary-test", b"mark", 4, -3) > 0),
    "seek": lambda _a, _p: str(key(2, 10, -3, b"user", b"ostiary-test", 0) > 0),
    "bomb": lambda a, _: tried(lambda: bomb(a["count"], a["seconds"])),
    "leave": lambda a, _: leave(a["path"]),
    "kill": lambda a, _: tried(lambda: os.kill(a["pid"], signal.SIGKILL)),
    "sleep": lambda a, _: time.sleep(a["seconds"]),
    "garbage": lambda _a, _p: sys.stdout.write("this is no JSON\n"),
    "endless": lambda _a, _p: [sys.stdout.write("x" * 65536) for _ in range(1000)],
    "other": lambda _a, _p: say({"id": 1, "result": {}}),
    "complain": lambda a, _: sys.stderr.write(a["text"] + "\n") and sys.stderr.flush(),
    "die": lambda _a, _p: os._exit(3),
    "ask": lambda _a, _p: asked("elicitation/create", {"message": "sure?", "requestedSchema": {"type": "object"}}),
    "progress": lambda _a, p: progress(p.get("_meta", {}).get("progressToken")),
    "flood": lambda _a, p: progress(p.get("_meta", {}).get("progressToken"), 20_000),
    "babble": lambda a, _: babble(a["line"]) or "soon",
    "cancelled": lambda _a, _p: _cancelled,
    "changed": lambda _a, _p: say({"method": "notifications/tools/list_changed"}),
    "limits": lambda _a, _p: Path("/proc/self/limits").read_text(),
}


def answer(message: dict[str, Any]) -> None:
    method, params = message["method"], message.get("params", {})
    result: dict[str, Any] | None = None
    if method == "initialize" and not MODERN:
        words = {"name": "piped", "version": "1"}
        result = {
            "protocolVersion": "2025-11-25",
            "capabilities": {"tools": {"listChanged": True}},
            "serverInfo": words,
        }
    elif method == "server/discover" and MODERN:
        result = {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {"listChanged": True}}}
    elif method == "tools/list":
        names = sorted(TOOLS)
        result = {"tools": [{"name": name, "inputSchema": {"type": "object"}} for name in names]}
    elif method == "tools/call":
        result = text(TOOLS[params["name"]](params.get("arguments", {}), params))
    elif method == "subscriptions/listen":
        meta = {"io.modelcontextprotocol/subscriptionId": message["id"]}
        say({"method": "notifications/subscriptions/acknowledged", "params": {"notifications": {}, "_meta": meta}})
        say({"method": "notifications/tools/list_changed", "params": {"_meta": meta}})
        return
    if result is None:
        say({"id": message["id"], "error": {"code": -32601, "message": "no such method"}})
    else:
        say({"id": message["id"], "result": result | ({"resultType": "complete"} if MODERN else {})})


def heard(message: dict[str, Any]) -> None:
    if "method" not in message:
        with _told:
            _answers[message["id"]] = message
            _told.notify_all()
    elif "id" in message:
        threading.Thread(target=answer, args=(message,), daemon=True).start()
    elif message["method"] == "notifications/cancelled":
        _cancelled.append(message["params"]["requestId"])


def main() -> None:
    if STUBBORN:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for line in sys.stdin:
        heard(json.loads(line))
    while STUBBORN:
        time.sleep(1)


if __name__ == "__main__":
    main()
