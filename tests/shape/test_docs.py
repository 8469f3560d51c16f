"""Documentation is a test: what exists is documented, and what is documented exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.cli import VERBS, main
from gateway.settings import Settings

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])


def test_every_setting_is_documented_with_its_meaning() -> None:
    text = (ROOT / "docs/settings.md").read_text()
    missing = [
        name
        for name, field in Settings.model_fields.items()
        if f"| `{name}` |" not in text or field.description not in text
    ]
    assert not missing


def test_no_setting_is_documented_that_does_not_exist() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs/settings.md").read_text(), re.MULTILINE)
    assert set(rows) == set(Settings.model_fields)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_of_the_command_says_what_it_does(verb: str) -> None:
    command = main.get_command(None, verb)  # type: ignore[arg-type]
    assert command is not None
    assert command.help


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_within_the_documents_leads_somewhere(document: Path) -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", document.read_text())
    assert not [link for link in links if not (document.parent / link).exists()]


def test_the_makefile_verbs_in_the_documents_exist() -> None:
    verbs = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {verb for document in DOCUMENTS for verb in re.findall(r"`make ([a-z-]+)`", document.read_text())}
    assert named <= verbs


def test_the_lock_names_no_address_to_download_from() -> None:
    locks = [path.read_text() for path in (ROOT / "requirements").glob("*.txt")]
    assert locks
    assert not any(re.search(r"https?://|^--|file://", lock, re.MULTILINE) for lock in locks)
