"""What people paste into their clients."""

from __future__ import annotations

import base64
import json
import os
import re
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from gateway.clients_setup import Setup, setups
from gateway.settings.loading import PREFIX
from tests.fakes.gateway import Gateway

if TYPE_CHECKING:
    from pathlib import Path

LOCAL = "http://127.0.0.1:8080/mcp"
PUBLIC = "https://mcp.example.com/mcp"


def setup(name: str, url: str = LOCAL) -> Setup:
    return next(one for one in setups(url) if one.name == name)


@pytest.mark.parametrize("url", [LOCAL, PUBLIC])
def test_every_client_on_this_machine_is_given_the_portals_url(url: str) -> None:
    assert all(url in one.text for one in setups(url) if not one.needs_https)


def test_shell_lines_are_one_command_each() -> None:
    assert shlex.split(setup("Claude Code").text)[-1] == LOCAL
    assert json.loads(shlex.split(setup("VS Code").text)[-1])["url"] == LOCAL
    assert shlex.split(setup("MCP Inspector").text)[-1] == LOCAL


def test_links_carry_the_url_in_each_clients_own_form() -> None:
    cursor = parse_qs(urlsplit(setup("Cursor").link).query)
    assert json.loads(base64.b64decode(cursor["config"][0])) == {"url": LOCAL}
    vscode = setup("VS Code").link
    assert json.loads(unquote(vscode.partition("?")[2])) == {"name": "ostiary", "type": "http", "url": LOCAL}


def test_the_python_snippet_is_python() -> None:
    compile(setup("Python SDK").text, "snippet", "exec")


@pytest.mark.parametrize("name", ["claude.ai connectors", "ChatGPT"])
def test_clients_in_a_cloud_are_told_how_to_get_an_https_address(name: str) -> None:
    assert setup(name).needs_https
    assert shlex.split(setup(name).text) == ["ostiary", "up", "--public-url", "https://mcp.example.com"]
    assert setup(name, PUBLIC).text == PUBLIC


def test_no_variable_that_people_are_told_to_set_stops_the_command_line() -> None:
    told = re.findall(r"environ\['(\w+)'\]", "".join(one.text for one in setups(LOCAL)))
    assert told
    assert not [name for name in told if name.startswith(PREFIX)]  # an unknown setting is an error


def test_the_python_snippet_lists_tools_with_an_operators_token(tmp_path: Path) -> None:
    with Gateway(tmp_path) as gateway:
        gateway.add_user("alice")
        given = os.environ | {"MCP_TOKEN": gateway.token("alice", "/mcp")}
        snippet = setup("Python SDK", f"{gateway.url}/mcp").text
        done = subprocess.run(
            [sys.executable, "-c", snippet], env=given, capture_output=True, text=True, timeout=60, check=False
        )
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr
