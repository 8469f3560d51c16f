"""Programs from npm, in exact versions, fetched into `.tools` when a test first needs them."""

from __future__ import annotations

import fcntl
import os
import platform
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

TOOLS = Path(__file__).parents[1] / ".tools"
NODE = "22.23.3"  # the conformance suite and the Inspector need Node 22; Debian's is older
DEADLINE = 400.0  # seconds, less than a test may take: so it is said what was not had


class NpmMissing(Exception):
    pass


def package(name: str, version: str) -> Path:
    """The folder of an installed package."""
    folder = TOOLS / f"{name.replace('/', '_').lstrip('@')}-{version}"
    with alone(folder.name):
        if not (folder / "done").exists():
            _install(folder, f"{name}@{version}")
            (folder / "done").touch()
    return folder / "node_modules" / name


def node() -> str:
    """The path of a Node that is new enough."""
    machine = {"x86_64": "x64", "aarch64": "arm64"}[platform.machine()]
    return str(package(f"node-linux-{machine}", NODE) / "bin" / "node")


def environment() -> dict[str, str]:
    """For programs that look for `node` on the path."""
    return os.environ | {"PATH": f"{Path(node()).parent}:{os.environ['PATH']}"}


@contextmanager
def alone(name: str) -> Iterator[None]:
    """Tests run side by side and may want the same program. Who wants another does not wait for this one to come."""
    TOOLS.mkdir(exist_ok=True)
    with (TOOLS / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _install(folder: Path, what: str) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise NpmMissing("npm is not installed: `make test-servers` installs what these tests need (Debian: npm)")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "package.json").write_text('{"private": true}\n')
    flags = ("--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts", "--loglevel=error")
    patience = ("--fetch-timeout=60000", "--fetch-retries=4")  # of milliseconds; it would be five minutes, and two
    subprocess.run(
        [npm, "install", *flags, *patience, what], cwd=folder, check=True, timeout=DEADLINE, stdout=subprocess.DEVNULL
    )
