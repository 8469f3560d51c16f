"""`ostiary --help`, which is where newcomers begin."""

from __future__ import annotations

from click.testing import CliRunner

from gateway.cli import SECTIONS, VERBS, main


def test_each_verb_stands_under_what_it_is_about_and_its_summary_is_whole() -> None:
    text = CliRunner().invoke(main, ["--help"], terminal_width=80).output
    assert [text.index(f"{title}:") for title in SECTIONS] == sorted(text.index(f"{title}:") for title in SECTIONS)
    verbs = text.partition("The door:")[2]
    assert [line.split()[0] for line in verbs.splitlines() if line.startswith("  ")] == list(VERBS)
    assert "..." not in verbs
