"""Programs from the Python index, in the versions and with the hashes of `requirements/stdio.txt`, in an environment of
their own in `.tools`, made when a test first needs them.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

from tests.npm import DEADLINE, TOOLS, alone

LOCKED = Path(__file__).parents[1] / "requirements/stdio.txt"


def program(name: str) -> Path:
    """The path of an installed program."""
    folder = environment()
    return folder / "bin" / name


def environment() -> Path:
    """The folder that programs and libraries are in."""
    folder = TOOLS / f"stdio-{hashlib.sha256(LOCKED.read_bytes()).hexdigest()[:12]}"
    with alone(folder.name):
        if not (folder / "done").exists():
            _install(folder)
            (folder / "done").touch()
    return folder


def _install(folder: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True, timeout=DEADLINE)
    flags = ("--quiet", "--disable-pip-version-check", "--require-hashes", "--only-binary", ":all:")
    command = [str(folder / "bin" / "python"), "-m", "pip", "install", *flags, "-r", str(LOCKED)]
    subprocess.run(command, check=True, timeout=DEADLINE)
