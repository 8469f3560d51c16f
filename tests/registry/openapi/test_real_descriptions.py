"""Descriptions that their owners publish, whole: thousands of operations, in bounded time, each one callable.

They come out of packages of npm and are not part of this repository.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from gateway.upstream.openapi.requests import write
from gateway.upstream.openapi.styles import Unwritable
from registry.catalogue.naming import is_legal, twins
from registry.credentials.modes import read_auth
from registry.openapi.kept import Api, Text, understand
from registry.openapi.operations import Choice
from registry.openapi.plan import plan_of
from registry.screening import screen
from registry.tables import Auth, Kind
from tests.npm import package

pytestmark = pytest.mark.servers

PATIENCE = 60.0  # seconds of processor time for the largest; two were seen
LARGEST = 8 * 1024 * 1024  # characters of all definitions; four million were seen


@dataclass(frozen=True)
class Published:
    name: str
    version: str
    path: str
    address: str
    least: int  # operations that were seen

    def text(self) -> Text:
        return Text(Path(package(self.name, self.version), self.path).read_bytes())


GITHUB = Published("@octokit/openapi", "23.0.2", "generated/api.github.com.json", "https://api.github.com", 1200)
DIRECTUS = Published("@directus/specs", "15.2.0", "dist/openapi.json", "https://directus.example", 130)
FIGMA = Published("@figma/rest-api-spec", "0.43.0", "openapi/openapi.yaml", "https://api.figma.com", 50)
ALL = [
    GITHUB,
    Published("@octokit/openapi", "23.0.2", "generated/ghec.json", "https://api.github.com", 1400),
    Published("@blockfrost/openapi", "0.1.93", "openapi.yaml", "https://cardano-mainnet.blockfrost.io/api/v0", 120),
    DIRECTUS,
    FIGMA,
    Published("rclone-openapi", "1.75.0", "openapi.yaml", "https://rclone.example", 100),
]


def known(published: Published, *operations: str) -> Api:
    return understand(published.text(), Choice(operations or ("*",)), address=published.address)


def example(schema: Any) -> Any:
    """A value that looks like what is asked for."""
    if not isinstance(schema, dict):
        return "x"
    if schema.get("enum"):
        return schema["enum"][0]
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return example(schema[several][0])
    kind = schema.get("type", "string")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        properties = schema.get("properties", {})
        return {name: example(properties.get(name, {})) for name in schema.get("required", properties)}
    if kind == "array":
        return [example(schema.get("items", {}))]
    return {"integer": 1, "number": 1.5, "boolean": True, "null": None}.get(kind, "YQ==")


@pytest.mark.parametrize("published", ALL, ids=lambda one: f"{one.name}-{one.path}")
def test_every_operation_is_a_sound_tool_in_bounded_time(published: Published) -> None:
    text = published.text()
    began = time.process_time()
    api = understand(text, Choice(("*",)), address=published.address)
    assert time.process_time() - began < PATIENCE
    tools = [one for one in api.seen.definitions if one.kind == Kind.TOOL]
    assert len(tools) >= published.least
    assert len(api.left) <= len(tools) / 10
    assert sum(len(one.raw) for one in tools) < LARGEST
    assert not twins([one.name for one in tools])
    for one in tools:
        tool = json.loads(one.raw)
        assert is_legal(one.name)
        jsonschema.Draft202012Validator.check_schema(tool["inputSchema"])
        jsonschema.Draft202012Validator.check_schema(tool.get("outputSchema", {}))


@pytest.mark.parametrize("published", ALL, ids=lambda one: f"{one.name}-{one.path}")
def test_every_operation_can_be_called_with_what_its_schema_asks_for(published: Published) -> None:
    unwritten = []
    for one in known(published).seen.definitions[1:]:
        plan, schema = plan_of(one.raw), json.loads(one.raw)["inputSchema"]
        assert plan is not None
        arguments = {name: example(schema["properties"][name]) for name in schema["properties"]}
        try:
            request = write(plan, "/base", json.dumps(arguments).encode())
        except Unwritable as error:
            unwritten.append((one.name, str(error)))
        else:
            assert request.target.startswith(b"/base/")
            assert b"{" not in request.target
    assert unwritten == []


def test_screening_refuses_none_of_githubs_operations_and_flags_few() -> None:
    tools = known(GITHUB, "repos/*", "issues/*").seen.definitions[1:]
    findings = [screen(one.kind, one.name, one.raw).findings for one in tools]
    assert len(tools) > 250
    assert not [one for found in findings for one in found if one.severity == "refused"]
    assert sum(bool(found) for found in findings) < len(tools) / 10


def test_what_is_chosen_of_github_is_what_it_says() -> None:
    found = {one.name: json.loads(one.raw) for one in known(GITHUB, "repos/get-content", "gists/*").seen.definitions}
    content = plan_of(json.dumps(found["repos_get-content"]))
    assert content is not None
    arguments = {"owner": "a", "repo": "b", "path": "docs/read me.md", "ref": "x/y"}
    request = write(content, "/", json.dumps(arguments).encode())
    assert request.target == b"/repos/a/b/contents/docs/read%20me.md?ref=x%2Fy"
    assert found["gists_delete"]["annotations"]["destructiveHint"] is True
    assert len(found) > 15


def test_what_figma_says_of_its_tokens_is_a_proposal_of_the_scopes_that_are_needed() -> None:
    (way,) = known(FIGMA, "getComments", "postComment").ways
    assert way.modes == (Auth.OAUTH_PERSON, Auth.OAUTH_SHARED)
    assert way.settings == {
        "authorization_endpoint": "https://www.figma.com/oauth",
        "token_endpoint": "https://api.figma.com/v1/oauth/token",
        "scopes": ("file_comments:read", "files:read", "file_comments:write"),
    }
    proof = {"client_id": "app", "client_auth": "client_secret_basic"}
    assert read_auth(Auth.OAUTH_PERSON, {**way.settings, **proof}).authority == way.settings["token_endpoint"]
    assert len(known(FIGMA).ways) == 2  # another app of theirs is for what organisations log


def test_directus_takes_a_key_in_its_query_which_no_caller_gives() -> None:
    found = known(DIRECTUS)
    assert [way.settings for way in found.ways] == [{"query": "access_token"}]
    plans = [plan_of(one.raw) for one in found.seen.definitions[1:]]
    assert not any("access_token" in plan.arguments() for plan in plans if plan is not None)
