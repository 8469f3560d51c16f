"""The demo: two real servers as processes of their own, two people, an agent, and a policy that tells them apart."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.settings.loading import ConfigurationError
from gateway.starting.furniture import furnish

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.office import Office
    from gateway.starting.furniture import Account

SERVERS = ("notes", "clock")


@contextmanager
def open_demo(office: Office) -> Iterator[list[Account]]:
    """Starts the servers, furnishes the door for them if it is not yet, and stops them at the end."""
    with ExitStack() as running:
        ports = _Ports(office.settings.data / "demo.json")
        urls = {slug: running.enter_context(_server(slug, ports)) for slug in SERVERS}
        yield furnish(office, urls)


class _Ports:
    """The ports of the last time, so that a registered address stays true."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._known: dict[str, int] = json.loads(file.read_text()) if file.exists() else {}

    def last(self, slug: str) -> int:
        return self._known.get(slug, 0)

    def keep(self, slug: str, port: int) -> None:
        self._known[slug] = port
        self._file.write_text(json.dumps(self._known))


@contextmanager
def _server(slug: str, ports: _Ports) -> Iterator[str]:
    """One server, at its port of the last time if that is free; gives its URL."""
    process, url = _start(slug, ports.last(slug))
    if url is None:
        process, url = _start(slug, 0)
    if url is None:
        raise ConfigurationError([f"demo: the {slug} server did not come up; its messages stand above"])
    ports.keep(slug, int(url.rsplit(":", 1)[1].split("/")[0]))
    try:
        yield url
    finally:
        _stop(process)


def _start(slug: str, port: int) -> tuple[subprocess.Popen[str], str | None]:
    """The process and the URL it printed, or None if it ended without one (its port was taken)."""
    # Whoever asks who its parent is, once it runs, may be an orphan already, and never learn that it is one.
    command = [sys.executable, str(_folder() / f"{slug}.py"), "--port", str(port), "--parent", str(os.getpid())]
    process = subprocess.Popen(  # noqa: S603 - our own file, no shell
        command,
        stdout=subprocess.PIPE,
        stderr=None if port == 0 else subprocess.DEVNULL,
        text=True,
        start_new_session=True,  # Ctrl-C is for us; we stop it when the last call is done
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    if line:
        url: str = json.loads(line)["url"]
        return process, url
    _stop(process)
    return process, None


def _stop(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _folder() -> Path:
    """Inside this package in the wheel, `examples/servers` beside it in a checkout."""
    packaged = Path(__file__).parents[1] / "demo_servers"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "examples" / "servers"
