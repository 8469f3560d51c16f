"""What every command shares: `--data`, `--database-url`, `--config`, `--json`, and errors that say what to do."""

from __future__ import annotations

import functools
import json
import sys
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.settings.loading import load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LONGEST_PATH = 200  # characters of it that a sentence has room for


@contextmanager
def in_a_sentence() -> Iterator[None]:
    """What our own errors say, without a traceback, and exit code 1."""
    from sqlalchemy.exc import SQLAlchemyError

    from authz.errors import AuthzError
    from gateway.journal import JournalDown
    from idp_adapters.contract import IdentityProblem
    from registry.errors import RegistryError

    try:
        yield
    except (AuthzError, RegistryError, JournalDown, IdentityProblem) as refused:
        raise click.ClickException(str(refused)) from refused
    except SQLAlchemyError as error:
        raise click.ClickException(
            "the database gave up on this: see that it can be reached and is whole, then try again"
        ) from error


@contextmanager
def disk_in_a_sentence() -> Iterator[None]:
    """What the system refuses while a command reads and writes files, without a traceback, and exit code 1."""
    try:
        yield
    except BrokenPipeError:  # whoever read our output has read enough, which click knows how to end
        raise
    except OSError as error:
        place = f"{str(error.filename)[:LONGEST_PATH]}: " if error.filename else ""
        raise click.ClickException(
            f"{place}{error.strerror or error}; see that the place is there, has room and is yours, then try again"
        ) from error


def with_office(function: Callable[..., Any]) -> Callable[..., Any]:
    """Gives the command an open `Office` as its first argument; our own errors become one sentence and exit 1."""

    @click.option("--data", type=click.Path(path_type=Path), help="data directory")
    @click.option("--database-url", help="PostgreSQL URL, if the gateway uses one")
    @click.option("--config", type=click.Path(path_type=Path), help="configuration file (TOML)")
    @functools.wraps(function)
    def command(data: Path | None, database_url: str | None, config: Path | None, **arguments: Any) -> Any:
        from gateway.assembly import open_office, remembered

        settings = remembered(load(config, data=data, database_url=database_url))
        with in_a_sentence(), disk_in_a_sentence(), closing(open_office(settings)) as office:
            return function(office, **arguments)

    return command


class Family(click.Group):
    """A verb with verbs of its own, each told by its whole first sentence: one that is cut off tells nothing."""

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        found = ((name, self.get_command(context, name)) for name in self.list_commands(context))
        with formatter.section("Commands"):
            formatter.write_dl([(name, one.get_short_help_str(sys.maxsize)) for name, one in found if one is not None])


as_json = click.option("--json", "as_json", is_flag=True, help="print JSON")


def show(value: Any, *, as_json: bool, text: Callable[[], str]) -> None:
    """Prints `value` as JSON, or what `text` makes of it."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str) if as_json else text())
