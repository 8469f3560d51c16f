"""Builds the wheel and looks into it: what a start needs is there, and nothing lands in somebody else's package."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

OURS = ("gateway/", "authz/", "registry/", "idp_adapters/", "ostiary-")
NEEDED = (
    "gateway/py.typed",
    "gateway/pages/templates/base.html",
    "gateway/demo_servers/notes.py",
    "gateway/demo_servers/clock.py",
    "authz/policy/model.conf",
    "authz/py.typed",
    "registry/py.typed",
    "registry/migrations/env.py",
    "registry/migrations/versions/0001_initial.py",
    "idp_adapters/py.typed",
)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        names = contents(build(Path(folder)))
    problems = [f"lacks {name}" for name in NEEDED if name not in names]
    problems += [f"has {name}, which is not ours to write" for name in names if not name.startswith(OURS)]
    if problems:
        sys.exit("the wheel " + "\nthe wheel ".join(problems))
    print(f"the wheel has its {len(names)} files")


def build(folder: Path) -> Path:
    """The wheel of this checkout, in `folder`."""
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), "."]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return next(folder.glob("*.whl"))


def contents(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


if __name__ == "__main__":
    main()
