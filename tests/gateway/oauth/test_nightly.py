"""The whole way of an unattended agent, before the demo as it starts, with two workers: given at the command line, used
against a real server, on record, ended at the command line.
"""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from authz.clients.known import TOKEN_EXCHANGE
from tests.fakes.door import modern
from tests.fakes.gateway import Gateway
from tests.gateway.oauth.market import DELEGATION

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Gateway(tmp_path_factory.mktemp("door") / "data", "--demo", "--workers", "2") as gateway:
        yield gateway


def exchange(door: Gateway, delegation: str, **more: str) -> httpx2.Response:
    agent = json.loads(door.run("client", "list", "--json"))[0]["client"]
    secret = re.search(r"^ +nightly +(\S{20,})$", door.output(), re.MULTILINE)
    assert secret is not None
    form = {"grant_type": TOKEN_EXCHANGE, "subject_token": delegation, "subject_token_type": DELEGATION, **more}
    return httpx2.post(f"{door.url}/oauth/token", data=form, auth=(agent, secret[1]), trust_env=False, timeout=20)


def call(door: Gateway, token: str, name: str, arguments: dict[str, Any]) -> httpx2.Response:
    headers, body = modern(token, "tools/call", {"name": name, "arguments": arguments})
    return httpx2.post(f"{door.url}/mcp", content=body, headers=headers, trust_env=False, timeout=20)


def test_an_unattended_agent_works_for_somebody_until_it_may_not(door: Gateway) -> None:
    words = ("--user", "editor", "--agent", "nightly", "--scope", "notes.*", "--reason", "the nightly list")
    delegation = json.loads(door.run("delegation", "add", *words, "--json"))["delegation"]

    given = exchange(door, delegation)
    assert given.status_code == 200, given.text
    assert "notes.list" in given.json()["scope"].split()
    assert "notes.add" not in given.json()["scope"].split()  # the editor may, the agent may not
    token = given.json()["access_token"]
    answer = call(door, token, "notes_list", {})
    assert answer.status_code == 200, answer.text
    assert not answer.json()["result"].get("isError")

    intents = json.loads(door.run("audit", "search", "--who", "user:editor", "--event", "call.intent", "--json"))
    assert [actor["who"] for actor in intents[-1]["actors"]] == ["agent:nightly"]

    door.run("delegation", "end", delegation)
    end = time.monotonic() + 60
    while {call(door, token, "notes_list", {}).status_code for _ in range(6)} != {401}:  # in both workers
        assert time.monotonic() < end
        time.sleep(0.1)
    refused = exchange(door, delegation)
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
    assert "ended" in refused.json()["error_description"]
