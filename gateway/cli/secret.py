"""Where a command gets a secret from: standard input, a file of mode 0600, or the environment; never an argument."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Mapping


def chosen(file: str | None, variable: str | None, prompt: str, options: str = "--file or --env") -> bytes:
    """From wherever the command's options say, or else from standard input."""
    if file is not None and variable is not None:
        raise click.UsageError(f"give {options}, not both")
    if file is not None:
        return from_file(Path(file))
    if variable is not None:
        return from_environment(variable)
    return from_input(prompt)


def from_options(purpose: str, given: Mapping[str, Any]) -> bytes:
    """From the pair of options that a command has for each `purpose`; empty if neither was given."""
    file, variable = given[f"{purpose}_file"], given[f"{purpose}_env"]
    if not file and not variable:
        return b""
    flag = "--" + purpose.replace("_", "-")
    return chosen(file or None, variable or None, "", f"{flag}-file or {flag}-env")


def from_input(prompt: str) -> bytes:
    """Asked of whoever sits there, or one line of standard input."""
    if sys.stdin.isatty():
        line: str = click.prompt(prompt, hide_input=True, err=True)
        return line.encode()
    return sys.stdin.readline().strip().encode()


def from_file(path: Path) -> bytes:
    try:
        if path.stat().st_mode & 0o077:
            raise click.ClickException(f"{path} can be read by others: chmod 600 it")
        return path.read_bytes().strip()
    except OSError as error:
        raise click.ClickException(f"{path} cannot be read ({error.strerror})") from error


def from_environment(variable: str) -> bytes:
    value = os.environ.get(variable)
    if not value:
        raise click.ClickException(f"the environment has no {variable}")
    return value.strip().encode()
