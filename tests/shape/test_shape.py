"""The shape of the source, kept by tests where a linter has no rule for it."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from registry import schema

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PACKAGES = ("gateway", "authz", "registry", "idp_adapters")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
LONGEST_FILE = 400
LONGEST_FUNCTION = 60


def _functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    yield from (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_alembic_is_no_package_so_that_the_library_is_found() -> None:
    assert not (ROOT / "alembic/__init__.py").exists()


def test_the_code_knows_the_newest_migration() -> None:
    revisions = [
        re.search(r'^revision = "(\w+)"', path.read_text(), re.MULTILINE)
        for path in (ROOT / "alembic/versions").glob("*.py")
    ]
    assert max(found[1] for found in revisions if found) == schema.HEAD


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_can_be_held_in_the_head(source: Path) -> None:
    text = source.read_text()
    assert len(text.splitlines()) <= LONGEST_FILE
    long = [
        node.name for node in _functions(ast.parse(text)) if (node.end_lineno or 0) - node.lineno > LONGEST_FUNCTION
    ]
    assert not long


def test_half_of_all_functions_are_at_most_eleven_lines_long() -> None:
    lengths = sorted(
        (node.end_lineno or 0) - node.lineno + 1
        for source in SOURCES
        for node in _functions(ast.parse(source.read_text()))
    )
    assert lengths[len(lengths) // 2] <= 11


def test_casbin_is_never_switched_off() -> None:
    assert not [source for source in SOURCES if "enable_enforce" in source.read_text()]


def test_decisions_never_read_the_url_that_the_host_header_can_bend() -> None:
    assert not [source for source in SOURCES if re.search(r"request\.url\b", source.read_text())]


def test_the_environment_is_read_in_few_known_places() -> None:
    readers = {
        str(source.relative_to(ROOT)) for source in SOURCES if re.search(r"os\.environ|os\.getenv", source.read_text())
    }
    assert readers <= {
        "gateway/operating/backup/restoring.py",  # whether the master key is there, to say what to do about it
        "gateway/settings/loading.py",
        "gateway/assembly.py",
        "gateway/operating/metrics.py",  # prometheus_client is told by a variable where several processes count
        "gateway/operating/tracing.py",  # OpenTelemetry is set up by its standard variables
        "gateway/cli/secret.py",
        "gateway/clients_setup.py",  # in a line that it prints
        "gateway/identity/declared.py",  # secrets of identity providers, by the names that the configuration gives
        "gateway/upstream/channels/declared.py",  # what a process gets of it, by the names that the file gives
        "idp_adapters/directory/connection.py",  # writes one that libldap reads
    }


def test_no_broad_except_outside_the_edges() -> None:
    broad = {
        str(source.relative_to(ROOT))
        for source in SOURCES
        if re.search(r"except (Base)?Exception\b|except:", source.read_text())
    }
    assert broad <= {
        "gateway/background/__init__.py",
        "gateway/edge/connection.py",  # as its parser does with what is raised in a callback
        "gateway/edge/middleware.py",
        "gateway/journal/writer.py",
        "gateway/portal/calls/plans.py",  # in the middle of a server's connection, which has no part in our faults
        "gateway/portal/calls/recording.py",  # many calls wait for one write, and none has a part in another's faults
        "gateway/portal/door.py",
        "gateway/portal/planned.py",
        "gateway/running.py",  # hands on what a coroutine raised, as a task would
    }
