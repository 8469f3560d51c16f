"""The suite itself, as npm has it."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests import npm

if TYPE_CHECKING:
    from collections.abc import Sequence

PACKAGE = "@modelcontextprotocol/conformance"
VERSION = "0.2.0-alpha.12"  # `latest` is older and knows nothing of 2026-07-28
EXPECTED = Path(__file__).parent / "expected"
RESULTS = npm.TOOLS.parent / "results"


@dataclass(frozen=True, slots=True)
class Pairing:
    """A revision of the client side, and the era of the server behind the gateway."""

    revision: str
    era: str

    def __str__(self) -> str:
        return f"{self.revision} client, {self.era} server"

    @property
    def expected_failures(self) -> Path | None:
        """Scenarios that cannot pass yet, for pairings that cross the eras."""
        file = EXPECTED / f"{self.revision}-{self.era}.yml"
        return file if file.exists() else None


PAIRINGS = tuple(Pairing(revision, era) for era in ("modern", "legacy") for revision in ("2026-07-28", "2025-11-25"))


def command(*arguments: str) -> list[str]:
    return [npm.node(), str(npm.package(PACKAGE, VERSION) / "dist" / "index.js"), *arguments]


def server(url: str, pairing: Pairing, scenario: str = "") -> bool:
    """Every scenario that the revision requires, or one; prints what the suite prints at the end."""
    wanted = ["--spec-version", pairing.revision, "--scenario", scenario] if scenario else _required(pairing)
    results = RESULTS / f"{pairing.revision}-{pairing.era}"
    return _passes(command("server", "--url", url, "-o", str(results), *wanted), whole=bool(scenario))


def _required(pairing: Pairing) -> Sequence[str]:
    baseline = pairing.expected_failures
    expected = ("--expected-failures", str(baseline)) if baseline else ()
    return ("--requirements", pairing.revision, *expected)


def _passes(arguments: Sequence[str], *, whole: bool) -> bool:
    done = subprocess.run(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    _, found, summary = done.stdout.partition("=== SUMMARY ===")
    print(done.stdout if whole or not found else summary, flush=True)
    return done.returncode == 0
