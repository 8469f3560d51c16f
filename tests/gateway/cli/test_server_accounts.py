"""What `ostiary server add|show` says of servers at which accounts are connected."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner

from gateway.assembly import open_office
from gateway.cli import main
from gateway.settings import Settings
from tests.fakes.servers.upstream_oauth import Upstream, serving


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("OSTIARY_PUBLIC_URL", "https://door.example")
    open_office(Settings(data=tmp_path), create=True).close()

    def running(*words: str, code: int = 0) -> str:
        done = CliRunner().invoke(main, ["server", *words, "--data", str(tmp_path)])
        assert done.exit_code == code, done.output
        return done.stdout

    return running


@pytest.mark.parametrize("mode", ["oauth-person", "oauth-shared"])
def test_an_administrator_sees_what_an_app_needs_that_they_register_by_hand(run, mode):
    """Also before it could be read, for which an account may be needed."""
    with serving(Upstream()) as fake:
        added = run("add", "notes", fake.url, "--allow-address", "--auth", mode, code=1)
    assert "https://door.example/connect/notes/callback" in added
    assert "https://door.example/connect/notes/shared" in added
    assert "https://door.example/oauth/clients/notes/ostiary.json" in added
    assert ("each person connects their own" in added) == (mode == "oauth-person")
    shown: dict[str, Any] = json.loads(run("show", "notes", "--json"))
    assert shown["callback"] == "https://door.example/connect/notes/callback"


def test_of_other_modes_nothing_is_said(run):
    with serving(Upstream()) as fake:
        run("add", "notes", fake.url, "--allow-address", code=1)
    assert "callback" not in json.loads(run("show", "notes", "--json"))
    assert "Accounts:" not in run("show", "notes")
