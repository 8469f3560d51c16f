"""`ostiary doctor`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from gateway.cli.common import as_json, show, with_office

if TYPE_CHECKING:
    from gateway.office import Office
    from gateway.operating.checks import Check

MARKS = ("ok  ", "look", "BAD ")


@click.command()
@click.option("--strict", is_flag=True, help="exit with 1 also for what somebody should merely look at")
@as_json
@with_office
def doctor(office: Office, *, strict: bool, as_json: bool) -> None:
    """Say what is missing before production, and why. Exits with 1 when something must not be left as it is.

    Reads the same settings as `ostiary up`: give it the same --config, or run it in the same environment.
    """
    from gateway.operating.checks import State
    from gateway.operating.doctor import examine

    checks = examine(office)
    worst = max(check.state for check in checks)
    value = {"state": worst.name.lower(), "checks": [check.told() for check in checks]}
    show(value, as_json=as_json, text=lambda: "\n".join(_lines(checks)))
    if worst is State.RED or (strict and worst is State.AMBER):
        sys.exit(1)


def _lines(checks: list[Check]) -> list[str]:
    lines = []
    for check in checks:
        lines.append(f"{MARKS[check.state]}  {check.name}{': ' if check.why else ''}{check.why}")
        if check.state and check.remedy:
            lines.append(f"      -> {check.remedy}")
    return lines
