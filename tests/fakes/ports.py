"""Ports for servers that cannot choose one themselves and say which; tests side by side never get the same."""

from __future__ import annotations

import fcntl
import itertools
import os
import socket
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

# Below those that the kernel gives to whoever asks for any, or to a connection that goes out: between our look and
# the server's start, nobody takes one by chance.
PORTS = range(12_000, 32_000)


def free_port() -> int:
    """One that nobody has on any address, and that nobody else who asks here is given while this process lives."""
    return next(port for port in _from_somewhere() if _claimed(port) and _is_free(port))


@cache
def _from_somewhere() -> itertools.cycle[int]:
    begin = int.from_bytes(os.urandom(4)) % len(PORTS)
    return itertools.cycle([*PORTS[begin:], *PORTS[:begin]])


def _claimed(port: int) -> bool:
    """A lock on one byte of a file that stands for all ports; the kernel gives it back when this process ends."""
    with suppress(OSError):
        fcntl.lockf(_claims(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
        return True
    return False


@cache
def _claims() -> int:
    """Open for as long as this process lives: closing it would give back all."""
    file = Path(tempfile.gettempdir()) / f"ostiary-test-ports-{os.getuid()}"
    return os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _is_free(port: int) -> bool:
    with socket.socket() as probe, suppress(OSError):
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("", port))
        return True
    return False
