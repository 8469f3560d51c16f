"""`ostiary --help`, which is where newcomers begin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import pytest
from click.testing import CliRunner

from gateway.cli import SECTIONS, VERBS, main
from registry.credentials.modes import MODES, SECRETS, option_of

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_each_verb_stands_under_what_it_is_about_and_its_summary_is_whole() -> None:
    text = CliRunner().invoke(main, ["--help"], terminal_width=80).output
    assert [text.index(f"{title}:") for title in SECTIONS] == sorted(text.index(f"{title}:") for title in SECTIONS)
    verbs = text.partition("The door:")[2]
    assert [line.split()[0] for line in verbs.splitlines() if line.startswith("  ")] == list(VERBS)
    assert "..." not in verbs


def _commands(command: click.Command, name: str) -> Iterator[tuple[str, set[str]]]:
    """Every command that does something, with its options."""
    if isinstance(command, click.Group):
        for verb in command.list_commands(click.Context(command)):
            found = command.get_command(click.Context(command), verb)
            assert found is not None
            yield from _commands(found, f"{name} {verb}")
    else:
        yield name, {option for parameter in command.params for option in parameter.opts}


def test_every_command_is_told_where_the_data_is_and_answers_in_json() -> None:
    commands = dict(_commands(main, "ostiary"))
    assert len(commands) > 60
    assert [name for name, options in commands.items() if not options >= {"--data", "--database-url", "--config"}] == []
    assert [name for name, options in commands.items() if "--json" not in options] == ["ostiary up"]


@pytest.mark.parametrize("verb", ["add", "auth"])
def test_the_help_of_a_server_says_of_each_mode_what_it_needs_and_of_each_option_what_it_means(verb: str) -> None:
    text = CliRunner().invoke(main, ["server", verb, "--help"], terminal_width=400).output
    needs, _, means = text.partition("What each mode of --auth needs")[2].partition("What they mean:")
    for mode, model in MODES.items():
        assert f"\n  {mode} " in needs
        for name in model.model_fields:
            assert option_of(name) in needs
            assert f"\n  {option_of(name)} " in means
    for purpose in SECRETS:
        assert f"\n  {option_of(purpose)}-file FILE" in means
