"""The suite itself, as npm has it."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests import npm

if TYPE_CHECKING:
    from collections.abc import Sequence

PACKAGE = "@modelcontextprotocol/conformance"
VERSION = "0.2.0-alpha.12"  # `latest` is older and knows nothing of 2026-07-28
FAILED = "✗"
LONGEST = 900.0  # seconds for all scenarios of a revision; they take some forty
RESULTS = npm.TOOLS.parent / "results"


@dataclass(frozen=True, slots=True)
class Pairing:
    """A revision of the client side, and the era of the server behind the gateway."""

    revision: str
    era: str

    def __str__(self) -> str:
        return f"{self.revision} client, {self.era} server"


PAIRINGS = tuple(Pairing(revision, era) for era in ("modern", "legacy") for revision in ("2026-07-28", "2025-11-25"))


def command(*arguments: str) -> list[str]:
    return [npm.node(), str(npm.package(PACKAGE, VERSION) / "dist" / "index.js"), *arguments]


def server(url: str, pairing: Pairing, scenario: str = "") -> bool:
    """Every scenario of the revision, or one; prints what the suite prints at the end.

    The suite does not mind when what it does not require fails, such as the extension for tasks. We do.
    """
    one = ["--spec-version", pairing.revision, "--scenario", scenario]
    wanted = one if scenario else ["--requirements", pairing.revision]
    results = RESULTS / f"{pairing.revision}-{pairing.era}"
    return _passes(command("server", "--url", url, "-o", str(results), *wanted), whole=bool(scenario))


def _passes(arguments: Sequence[str], *, whole: bool) -> bool:
    done = subprocess.run(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=LONGEST
    )
    _, found, summary = done.stdout.partition("=== SUMMARY ===")
    print(done.stdout if whole or not found else summary, flush=True)
    return done.returncode == 0 and FAILED not in summary
