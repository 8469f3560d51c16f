"""The built wheel in an empty virtual environment does what the checkout does."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.fakes.ports import free_port
from tests.shape.wheel import build

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the locked run-time dependencies and the wheel, and nothing of the checkout.

    Ours installs into it: to install a pip there first takes longer.
    """
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    _pip(folder, "install", "--require-hashes", "-r", str(ROOT / "requirements/run.txt"))
    _pip(folder, "install", "--no-deps", "--no-index", str(build(folder)))
    return folder


def _pip(folder: Path, *arguments: str) -> str:
    """Ours, at work on that environment."""
    own = ["--python", str(folder / "venv/bin/python"), "--quiet", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", *own, *arguments]
    done = subprocess.run(command, check=False, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
    return done.stdout


@contextlib.contextmanager
def _open_door(home: Path, port: int) -> Iterator[Path]:
    log = home / "output"
    with log.open("w") as output:
        command = [str(home / "venv/bin/ostiary"), "up", "--demo", "--data", str(home / "data"), "--port", str(port)]
        process = subprocess.Popen(command, stdout=output, stderr=output, cwd=home)
    try:
        yield log
    finally:
        process.terminate()
        assert process.wait(60) == 0


def _listens(port: int) -> bool:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        time.sleep(0.1)
    return False


def test_the_wheel_opens_the_door_with_the_demo(home: Path) -> None:
    port = free_port()
    with _open_door(home, port) as log:
        assert _listens(port), log.read_text()
        listed = subprocess.run(
            [home / "venv/bin/ostiary", "server", "list", "--data", home / "data"],
            capture_output=True,
            text=True,
            check=True,
            cwd=home,
        )
    assert "notes" in listed.stdout
    assert "clock" in listed.stdout


def test_removing_the_wheel_leaves_alembic_intact(home: Path) -> None:
    _pip(home, "uninstall", "--yes", "ostiary")
    subprocess.run([home / "venv/bin/python", "-c", "import alembic.command, alembic.config"], check=True, cwd=home)
    _pip(home, "check")
