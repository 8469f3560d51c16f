"""`python -m benchmarks [--quick]`: measures and prints; see the package for how to read it."""

from __future__ import annotations

import argparse
import os
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.course import Course
from benchmarks.doors import echo, nginx
from benchmarks.processes import CORES, DOOR_CORE, LOAD_CORE
from tests.fakes.gateway import Gateway

if TYPE_CHECKING:
    from collections.abc import Sequence

CATALOGUES = {"few": 10, "many": 1_000, "most": 10_000}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="a fifth of the calls: a figure repeats within 3 % where nothing else runs"
    )
    parser.add_argument("--only", nargs="*", choices=Course.PARTS, help="these parts alone")
    parser.add_argument("--strict", action="store_true", help="exit 1 where a budget is not met")
    chosen = parser.parse_args()
    print(f"{os.cpu_count()} cores; the door on core {DOOR_CORE}, load and server on core {LOAD_CORE}")
    if len(CORES) == 1:
        print("There is one core only: door and load share it, so read no waiting times here.")
    missed = _measure(quick=chosen.quick, parts=chosen.only or Course.PARTS)
    if missed and chosen.strict:
        raise SystemExit(1)


def _measure(*, quick: bool, parts: Sequence[str]) -> list[str]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ostiary-bench-")))
        servers = {slug: stack.enter_context(echo("modern", count)) for slug, count in CATALOGUES.items()}
        servers["old"] = stack.enter_context(echo("legacy", 10))
        plain = stack.enter_context(nginx(servers["few"], folder))
        if plain is None:
            print("nginx is not installed: no ratios (Debian: apt-get install nginx-light).")
        gateway = stack.enter_context(Gateway(folder / "data", core=DOOR_CORE))
        course = Course(gateway=gateway, nginx=plain, servers=servers, quick=quick)
        for part in Course.PARTS:
            if part in parts:
                getattr(course, part)()
        return course.missed


if __name__ == "__main__":
    main()
