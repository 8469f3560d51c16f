"""`ostiary server add --openapi`, as an operator types it, in front of an API that describes itself."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.fakes.servers.api import Api, described, serving
from tests.gateway.cli.test_server import Console

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def api() -> Iterator[Api]:
    with serving(Api()) as found:
        yield found


@pytest.fixture
def console(tmp_path: Path) -> Console:
    return Console(tmp_path / "data")


def add(console: Console, where: str, *more: str) -> str:
    return console.do("add", "todo", "--openapi", where, "--allow-address", *more)


def names(console: Console, status: str = "new") -> list[str]:
    found = console.json("show", "todo")["definitions"]
    return [one["name"] for one in found if one["kind"] == "tool" and one["status"] == status]


def test_nothing_is_chosen_unless_somebody_says_what(console: Console, api: Api) -> None:
    said = console.refused("add", "todo", "--openapi", api.url, "--allow-address")
    assert "5 operations, 3 of which only read" in said
    assert "items (4), pictures (1)" in said
    assert console.json("list") == []


def test_what_is_chosen_is_shown_with_how_it_is_called(console: Console, api: Api) -> None:
    shown = add(console, api.url, "--tag", "items", "--read-only")
    assert names(console) == ["items_list", "items_get"]
    assert "HTTP API, OpenAPI 3.0.3" in shown
    assert "GET /items/{item}" in shown
    assert f"{api.base}/api" in shown
    assert api.calls == []  # nobody called anything


def test_a_word_that_matches_nothing_is_named(console: Console, api: Api) -> None:
    said = console.refused("add", "todo", "--openapi", api.url, "--allow-address", "--operation", "itmes/*")
    assert "'itmes/*' matches nothing" in said


def test_an_address_of_this_machine_needs_to_be_allowed(console: Console, api: Api) -> None:
    said = console.refused("add", "todo", "--openapi", api.url, "--operation", "*")
    assert "allow_addresses" in said
    assert api.seen == []


def test_a_file_needs_no_network_but_an_address_for_calls(console: Console, api: Api, tmp_path: Path) -> None:
    file = tmp_path / "todo.yaml"
    file.write_text(yaml.safe_dump(described()))
    done = console.run("add", "todo", "--openapi", str(file), "--operation", "*")
    assert done.exit_code == 2
    assert "does not say where the API is" in done.output
    console.do("add", "todo", f"{api.base}/api", "--openapi", str(file), "--operation", "*", "--allow-address")
    assert len(names(console)) == 5
    assert api.seen == []


def test_a_description_that_changes_hides_what_changed_until_it_is_approved(console: Console, api: Api) -> None:
    add(console, api.url, "--operation", "*")
    console.do("approve", "todo", "--yes")
    assert len(names(console, "approved")) == 5
    changed = json.loads(json.dumps(described()))
    changed["paths"]["/items/{item}"]["get"]["description"] = "Now it says something else."
    del changed["paths"]["/items/{item}/picture"]
    api.description = changed
    console.do("refresh", "todo")
    assert names(console, "changed") == ["items_get"]
    assert names(console, "missing") == ["pictures_get"]
    assert len(names(console, "approved")) == 3


def test_a_description_that_is_still_the_same_is_no_news(console: Console, api: Api) -> None:
    api.etag = '"one"'
    add(console, api.url, "--operation", "*")
    with_validator = [one for one in api.seen if one.all("if-none-match")]
    assert len(with_validator) == 1  # the look that follows
    before = console.json("show", "todo")["definitions"]
    console.do("refresh", "todo")
    assert console.json("show", "todo")["definitions"] == before
    assert [one.all("if-none-match") for one in api.seen[-1:]] == [[]]  # an operator who asks wants it read anew


def test_of_a_file_another_version_is_given_and_the_choice_stays(console: Console, api: Api, tmp_path: Path) -> None:
    file = tmp_path / "todo.json"
    file.write_text(json.dumps(described()))
    console.do("add", "todo", f"{api.base}/api", "--openapi", str(file), "--tag", "items", "--allow-address")
    console.do("approve", "todo", "--yes")
    console.do("refresh", "todo")  # nothing to read again
    assert len(names(console, "approved")) == 4
    more = described()
    more["paths"]["/items"]["get"]["summary"] = "List them"
    file.write_text(json.dumps(more))
    console.do("refresh", "todo", "--openapi", str(file))
    assert names(console, "changed") == ["items_list"]
    assert console.records("server.described")[-1]["description"] == "a file"


def test_another_choice_takes_the_rest_away(console: Console, api: Api) -> None:
    add(console, api.url, "--operation", "*")
    console.do("approve", "todo", "--yes")
    console.do("refresh", "todo", "--operation", "items/get")
    assert names(console, "approved") == ["items_get"]
    assert len(names(console, "missing")) == 4


def test_operations_are_listed_without_registering_anything(console: Console, tmp_path: Path) -> None:
    file = tmp_path / "todo.json"
    file.write_text(json.dumps(described()))
    rows = console.json("openapi", str(file), "--tag", "pictures")
    assert [(row["id"], row["operation"]) for row in rows] == [("pictures/get", "GET /items/{item}/picture")]
    assert console.json("list") == []


def test_an_api_that_cannot_be_reached_is_said_to_fail(console: Console, api: Api, tmp_path: Path) -> None:
    file = tmp_path / "todo.json"
    file.write_text(json.dumps(described()))
    said = console.refused(
        "add", "todo", "http://127.0.0.1:9/api", "--openapi", str(file), "--operation", "*", "--allow-address"
    )
    assert "could not be read" in said


def test_a_server_of_mcp_has_no_description(console: Console, api: Api) -> None:
    console.run("add", "notes", api.base, "--allow-address")
    assert "is no HTTP API" in console.refused("refresh", "notes", "--operation", "*")
