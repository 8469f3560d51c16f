"""How commands print rows, names and moments, and how they ask for a password: never as an argument."""

from __future__ import annotations

import sys
import time
from typing import Any

import click

from gateway.cli.common import show


def say(text: str, value: dict[str, Any], made: str = "", *, kind: str = "password", as_json: bool) -> None:
    """What was done; what was made here stands alone on the last line."""
    lines = f"{text}\nThe {kind}, which is not shown again:\n{made}" if made else text
    show(value | ({kind: made} if made else {}), as_json=as_json, text=lambda: lines)


def table(rows: list[dict[str, Any]], columns: str, empty: str) -> str:
    """Columns as wide as they need to be."""
    if not rows:
        return empty
    names = columns.split()
    lines = [names, *([_cell(row[name]) for name in names] for row in rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(names))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _cell(value: Any) -> str:
    if isinstance(value, bool):  # and not a count of 0 or 1, which are equal to them
        return "yes" if value else "no"
    return plain(value)


def plain(value: Any) -> str:
    """One line that moves no cursor: clients and providers are called what they like, and may hold anything."""
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def day(moment: float | None) -> str:
    """Of the universal day, as every clock here; `never` where there is none."""
    return time.strftime("%Y-%m-%d", time.gmtime(moment)) if moment else "never"


def minute(moment: float | None) -> str:
    """The same, to the minute."""
    return time.strftime("%Y-%m-%d %H:%MZ", time.gmtime(moment)) if moment else "never"


def new_password(*, generate: bool) -> tuple[str, str]:
    """The password, and the same again if it was made here and has to be shown."""
    if generate:
        from authz.people.passwords import make_password

        made = make_password()
        return made, made
    if sys.stdin.isatty():
        return click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True), ""
    given = sys.stdin.readline().rstrip("\r\n")
    if not given:
        raise click.UsageError("give the password as one line of standard input, or say --generate")
    return given, ""
