"""The suite's scenarios for clients, against our upstream side; see `tests.conformance.driver` for what it runs."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from tests.conformance.suite import RESULTS, command
from tests.fakes import commands, forking
from tests.fakes.gateway import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

DRIVER: Final = "tests.conformance.driver"
PATIENCE: Final = 120  # seconds for one scenario
REVISIONS: Final = ("2026-07-28", "2025-11-25")
BESIDES: Final = "json-schema-2020-12-preservation"  # run, although no revision requires it
# Not run: `sep-2640-client-*`, of the extension for skills. They are about hosts that load skills (that they fetch no
# file of one ahead, and compare digest, size and front matter of what they fetch) and want `skills/list` to be called,
# which nobody can by way of a gateway that neither announces nor passes on that extension. Files of skills are
# resources to us: listed, never read unasked, and passed on byte by byte to whoever compares them.
AUTHORIZATION: Final = "auth/"  # all of them, extensions and what was before as well


def failures(scenario: str = "") -> list[str]:
    """The names of the scenarios that did not pass. Two at once: more gateways would keep each other waiting."""
    wanted = [(scenario, "")] if scenario else list(_all())
    os.environ[commands.SHARED] = commands.listening(commands.OURS)
    commands.listening(DRIVER)
    print("\n== client scenarios", flush=True)
    with ThreadPoolExecutor(2) as pool:
        passed = list(pool.map(_passes, wanted))
    return [f"client {' '.join(one)}".strip() for one, well in zip(wanted, passed, strict=True) if not well]


def _all() -> Iterator[tuple[str, str]]:
    for revision in REVISIONS:
        yield from ((name, revision) for name in _required(revision))
    yield from ((name, "") for name in _besides())


def _required(revision: str) -> list[str]:
    return _listed("--requirements", revision)


def _besides() -> list[str]:
    required = {name for revision in REVISIONS for name in _required(revision)}
    left = [name for name in _listed() if name not in required]
    return [name for name in left if name == BESIDES or name.startswith(AUTHORIZATION)]


def _listed(*chosen: str) -> list[str]:
    """As the suite lists them: indented by a dash, under the heading of clients, up to the next heading."""
    listed = subprocess.run(command("list", *chosen), capture_output=True, text=True, check=True, timeout=PATIENCE)
    _, _, rest = listed.stdout.partition("Client scenarios")
    lines = rest.splitlines()[1:]
    return [line.strip().removeprefix("- ").partition(" ")[0] for line in lines[: lines.index("")]]


def _driver() -> str:
    """As a command line. It is forked from a process that has read its modules: there are many scenarios."""
    return f"{sys.executable} -I -S {forking.__file__} {commands.listening(DRIVER)}"


def _passes(wanted: tuple[str, str]) -> bool:
    scenario, revision = wanted
    version = ("--spec-version", revision) if revision else ()
    asked = command(
        "client", "--command", _driver(), "--scenario", scenario, "--timeout", str(PATIENCE * 1000), *version,
        "-o", str(RESULTS / f"client-{revision or 'besides'}"),
    )  # fmt: skip
    done = subprocess.run(
        asked, capture_output=True, text=True, check=False, cwd=ROOT, env=dict(os.environ), timeout=2 * PATIENCE
    )
    passed = done.returncode == 0 and "OVERALL: PASSED" in done.stdout + done.stderr  # what was left out is no pass
    said = "" if passed else f"\n{(done.stdout + done.stderr)[-4000:]}"
    print(f"{'✓' if passed else '✗'} {revision or 'besides'} {scenario}{said}", flush=True)
    return passed
