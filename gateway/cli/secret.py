"""Where a command gets a secret from: standard input, a file of mode 0600, or the environment; never an argument."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click


def header_line(file: str | None, variable: str | None) -> bytes:
    """One header line, `Name: value`."""
    if file is not None and variable is not None:
        raise click.UsageError("give --secret-file or --secret-env, not both")
    if file is not None:
        return _from_file(Path(file))
    if variable is not None:
        return _from_environment(variable)
    if sys.stdin.isatty():
        line: str = click.prompt("Header line (Name: value)", hide_input=True, err=True)
        return line.encode()
    return sys.stdin.readline().strip().encode()


def _from_file(path: Path) -> bytes:
    try:
        if path.stat().st_mode & 0o077:
            raise click.ClickException(f"{path} can be read by others: chmod 600 it")
        return path.read_bytes().strip()
    except OSError as error:
        raise click.ClickException(f"{path} cannot be read ({error.strerror})") from error


def _from_environment(variable: str) -> bytes:
    value = os.environ.get(variable)
    if not value:
        raise click.ClickException(f"the environment has no {variable}")
    return value.strip().encode()
