"""What commands about people print, and how they ask for a password: never as an argument."""

from __future__ import annotations

import sys
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
    """One line of plain text: names of clients are their own words and may hold anything."""
    text = ", ".join(value) if isinstance(value, list) else {True: "yes", False: "no"}.get(value, str(value))
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def new_password(*, generate: bool) -> tuple[str, str]:
    """The password, and the same again if it was made here and has to be shown."""
    if generate:
        from authz.passwords import make_password

        made = make_password()
        return made, made
    if sys.stdin.isatty():
        return click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True), ""
    given = sys.stdin.readline().rstrip("\r\n")
    if not given:
        raise click.UsageError("give the password as one line of standard input, or say --generate")
    return given, ""
