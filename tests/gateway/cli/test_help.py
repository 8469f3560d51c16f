"""`ostiary --help`, which is where newcomers begin."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from gateway.cli import SECTIONS, VERBS, main
from registry.credentials.modes import MODES, SECRETS, option_of


def test_each_verb_stands_under_what_it_is_about_and_its_summary_is_whole() -> None:
    text = CliRunner().invoke(main, ["--help"], terminal_width=80).output
    assert [text.index(f"{title}:") for title in SECTIONS] == sorted(text.index(f"{title}:") for title in SECTIONS)
    verbs = text.partition("The door:")[2]
    assert [line.split()[0] for line in verbs.splitlines() if line.startswith("  ")] == list(VERBS)
    assert "..." not in verbs


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
