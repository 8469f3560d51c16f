"""A PostgreSQL of one's own for the length of a test run: private directory, loopback, a free port."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.fakes.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

BIN = Path("/usr/lib/postgresql/15/bin")
USER = "gw"
OPTIONS = (  # nothing has to outlive it
    "listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off", "synchronous_commit=off",
    "full_page_writes=off", "wal_level=minimal", "max_wal_senders=0", "autovacuum=off",
)  # fmt: skip


@contextmanager
def postgresql() -> Iterator[str]:
    """The URL of a new server's only database; fails where there is no PostgreSQL."""
    if not (BIN / "initdb").exists():
        pytest.fail("PostgreSQL 15 is not installed (Debian: postgresql-15)")
    place = Path(tempfile.mkdtemp(prefix="ostiary-pg-", dir="/tmp"))
    try:
        yield from _served(place, free_port())
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _served(place: Path, port: int) -> Iterator[str]:
    data = place / "data"
    _run_as_postgres(place, str(BIN / "initdb"), "-D", str(data), "-A", "trust", "-U", USER, "--no-sync")
    command = [str(BIN / "postgres"), "-D", str(data), "-p", str(port)]
    for option in OPTIONS:
        command += ["-c", option]
    with (place / "log").open("wb") as log:
        server = subprocess.Popen([*_as_postgres(), *command], stdout=log, stderr=log)
    try:
        _wait_until_ready(port, server)
        yield f"postgresql://{USER}@127.0.0.1:{port}/postgres"
    finally:
        server.send_signal(signal.SIGINT)  # SIGTERM waits for whoever is still connected
        server.wait(60)


def _as_postgres() -> list[str]:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return []
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]


def _run_as_postgres(place: Path, *command: str) -> None:
    if os.geteuid() == 0:
        shutil.chown(place, "postgres", "postgres")
    subprocess.run([*_as_postgres(), *command], check=True, capture_output=True, timeout=120, cwd=place)


def _wait_until_ready(port: int, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and server.poll() is None:
        ready = subprocess.run(
            [str(BIN / "pg_isready"), "-h", "127.0.0.1", "-p", str(port), "-q"], check=False, timeout=60
        )
        if ready.returncode == 0:
            return
        time.sleep(0.05)
    raise RuntimeError("PostgreSQL did not start")
