"""Servers that are processes, and servers of HTTP+SSE, as an operator meets them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from gateway.assembly import open_office
from gateway.cli import main
from gateway.operating.checks import State
from gateway.operating.doctor.processes import processes
from gateway.settings import Settings
from gateway.settings.loading import ConfigurationError, load
from gateway.upstream.channels import sandbox
from gateway.upstream.channels.declared import DeclaredServer, absent
from gateway.upstream.channels.enrolling import enrol
from tests.fakes.processes import running
from tests.fakes.servers.channels import FAKE, PYTHON, SEEN

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.office import Office

PIPED: dict[str, Any] = {"slug": "piped", "command": [str(PYTHON), str(FAKE)], "sandbox": "off"}
READ = [str(path) for path in SEEN]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    found = tmp_path / "ostiary.toml"
    write(found, PIPED)
    return found


def write(file: Path, *tables: dict[str, Any]) -> None:
    lines: list[str] = []
    for one in tables:
        lines += ["[[stdio_servers]]", *(f"{name} = {json.dumps(value)}" for name, value in one.items())]
    file.write_text("\n".join(lines) + "\n")


@pytest.fixture
def data(tmp_path: Path, file: Path) -> Path:
    """A data directory in which the file was taken up once."""
    found = tmp_path / "data"
    took_up(found, file)
    return found


def took_up(data: Path, file: Path) -> None:
    office = open_office(load(file, {}, data=data), create=True, role="gateway")
    try:
        enrol(office)
    finally:
        office.close()


def run(data: Path, *words: str, config: Path | None = None, given: str = "") -> str:
    more = ["--config", str(config)] if config else []
    done = CliRunner().invoke(main, [*words, "--data", str(data), *more], input=given)
    assert "Traceback" not in done.output
    return done.output


def test_it_is_read_by_a_command_that_has_the_file(data: Path, file: Path) -> None:
    said = run(data, "server", "refresh", "piped", config=file)
    assert "piped_echo" in said
    assert "stdio:piped" in said


def test_show_says_plainly_that_there_is_no_sandbox(data: Path) -> None:
    assert "NO SANDBOX" in run(data, "server", "show", "piped")


def test_show_says_that_it_is_not_run_where_a_sandbox_cannot_be_had(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "trouble", lambda: "bubblewrap is not installed")
    write(file, {**PIPED, "sandbox": "required", "read": [str(one) for one in SEEN]})
    took_up(tmp_path / "data", file)
    assert "it is not run here: bubblewrap is not installed" in run(tmp_path / "data", "server", "show", "piped")
    assert "without a sandbox it is not run" in run(tmp_path / "data", "server", "refresh", "piped", config=file)


def test_the_command_is_shown_in_full_and_without_a_secret(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIVEN", "canary-of-a-server")
    write(file, PIPED)
    file.write_text(file.read_text() + 'env = {KEY = "env:GIVEN"}\n')
    took_up(tmp_path / "data", file)
    said = run(tmp_path / "data", "server", "show", "piped", "--full")
    assert "env:GIVEN" in said
    assert "canary-of-a-server" not in said


def test_what_it_is_known_by_needs_a_variable_to_be_given_in(data: Path, file: Path) -> None:
    run(data, "server", "auth", "piped", "static", given="Authorization: Bearer canary-of-the-account\n")
    assert "names no variable to give it in" in run(data, "server", "refresh", "piped", config=file)
    write(file, {**PIPED, "credential": "TOKEN"})
    took_up(data, file)
    said = run(data, "server", "refresh", "piped", config=file)
    assert "piped_echo" in said
    assert "canary-of-the-account" not in said


def test_what_the_file_changes_is_on_record(data: Path, file: Path) -> None:
    write(file, {**PIPED, "network": True})
    took_up(data, file)
    write(file)
    took_up(data, file)
    said = run(data, "audit", "tail", "--json")
    events = [json.loads(line)["event"] for line in said.splitlines() if line.startswith("{")]
    assert [one for one in events if one.startswith("server.")] == [
        "server.added",
        "server.command_changed",
        "server.undeclared",
    ]


def test_a_start_without_news_is_not_on_record(data: Path, file: Path) -> None:
    before = run(data, "audit", "tail", "--json").count("server.")
    took_up(data, file)
    assert run(data, "audit", "tail", "--json").count("server.") == before


def test_a_name_that_is_taken_stops_the_start(data: Path, file: Path) -> None:
    run(data, "server", "retire", "piped")
    run(data, "server", "add", "notes", "https://notes.example/mcp")
    write(file, {**PIPED, "slug": "notes"})
    with pytest.raises(ConfigurationError, match="notes is a server at https"):
        took_up(data, file)


def test_a_script_says_what_it_is_run_by_and_does_not_see(tmp_path: Path) -> None:
    script, elsewhere = tmp_path / "bin" / "serve", tmp_path / "python" / "bin" / "python3"
    script.parent.mkdir()
    script.write_text(f"#!{elsewhere} -E\n")
    seen = DeclaredServer(slug="x", command=(str(script),), read=(script.parent,))
    (problem,) = absent(seen)
    assert f"leads to {elsewhere}, which it may not read" in problem
    elsewhere.parent.mkdir(parents=True)
    assert not [*absent(seen.model_copy(update={"read": (script.parent, elsewhere.parents[1])}))]


def office_with(tmp_path: Path, **changes: Any) -> Office:
    settings = Settings(data=tmp_path / "data", stdio_servers=[{**PIPED, **changes}])  # type: ignore[arg-type]
    return open_office(settings, create=True)


@pytest.mark.parametrize(
    ("changes", "trouble", "state"),
    [
        ({"sandbox": "off"}, "", State.AMBER),
        ({"sandbox": "required", "read": READ}, "", State.GREEN),
        ({"sandbox": "required", "read": READ}, "bubblewrap is not installed", State.RED),
        ({"sandbox": "required", "read": READ, "network": True}, "", State.AMBER),
    ],
)
def test_doctor_says_how_it_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], trouble: str, state: State
) -> None:
    monkeypatch.setattr(sandbox, "trouble", lambda: trouble)
    office = office_with(tmp_path, **changes)
    found = [check for check in processes(office, 0) if check.name == "process piped"]
    office.close()
    assert max(check.state for check in found) is state
    assert all(check.remedy for check in found if check.state is not State.GREEN)


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ([PIPED, PIPED], "the slug piped is there twice"),
        ([{**PIPED, "credential": "KEY", "inherit": ["KEY"]}], "KEY is in env or inherit"),
        ([{**PIPED, "sandbox": "perhaps"}], "stdio_servers.0.sandbox"),
        ([{"slug": "x"}], "stdio_servers.0.command"),
    ],
)
def test_what_is_wrong_in_the_file_is_named(tmp_path: Path, tables: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        load(None, {}, data=tmp_path, stdio_servers=tables)


def test_a_server_of_http_and_sse_is_found_out_when_it_is_added(tmp_path: Path) -> None:
    data = tmp_path / "data"
    open_office(Settings(data=data), create=True).close()
    with running("-m", "tests.fakes.fixture", "--sse") as url:
        said = run(data, "server", "add", "old", url, "--allow-address")
        assert "old_test_simple_text" in said
        (found,) = json.loads(run(data, "server", "list", "--json"))
        assert not found["failure"]
        assert json.loads(run(data, "server", "show", "old", "--json"))["transport"] == "sse"


def test_one_that_speaks_nothing_stays_what_it_was_said_to_be(tmp_path: Path) -> None:
    data = tmp_path / "data"
    open_office(Settings(data=data), create=True).close()
    with running("-m", "tests.fakes.servers.counting") as url:
        run(data, "server", "add", "odd", url.replace("/mcp", "/nowhere"), "--allow-address")
        assert json.loads(run(data, "server", "show", "odd", "--json"))["transport"] == "http"
