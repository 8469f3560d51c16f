"""T-41, resources: a rule forbids one URI, a template allows many, and somebody spells the one a little differently."""

from __future__ import annotations

import asyncio
import re
from base64 import b64encode
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from authz.policy.policy import Policy
from authz.tables import Rule
from registry.tables import Kind
from tests.fakes.door import Line, ask, catalogue, entry, modern, open_door, upstream

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fakes.door import Door

LISTED, UNLISTED = "note://secret", "note://payroll/2026"
ENTRIES = [
    entry("notes", LISTED, Kind.RESOURCE),
    entry("notes", "note://ünlisted", Kind.RESOURCE),
    entry("notes", "note:{+any}", Kind.TEMPLATE, template=re.compile(r".+", re.DOTALL)),
]
RULES = [
    Rule(id="r1", subject="user:editor", object="notes.*", action="*"),
    Rule(id="r2", subject="user:editor", object=f"notes.{LISTED}", action="*", effect="deny"),
    Rule(id="r3", subject="user:editor", object=f"notes.{UNLISTED}", action="read", effect="deny", note="not for you"),
]


def furnish(door: Door) -> None:
    door.snapshots.turn(catalogue=catalogue(ENTRIES, [upstream("notes")]), policy=Policy(RULES, epoch=2))


async def read(door: Door, uri: str) -> dict[str, Any]:
    got: dict[str, Any] = (await ask(door, "resources/read", {"uri": uri})).json
    return got


def escaped(uri: str, chosen: list[bool], *, small: bool) -> str:
    """`uri` with some of its letters escaped, in either spelling of the escape."""
    flags = dict(enumerate(chosen))
    head, rest = uri[:7], uri[7:]
    form = "%{:02x}" if small else "%{:02X}"
    return head + "".join(form.format(ord(c)) if flags.get(at) else c for at, c in enumerate(rest))


async def test_t_41_what_the_template_is_for_can_be_read(tmp_path: Path) -> None:
    async with open_door(tmp_path) as door:
        furnish(door)
        for uri in ("note://open", "note://a%2Fb", "file:///a/b.txt", "note://x?q=%C3%A9"):
            assert "result" in await read(door, uri), uri


@pytest.mark.parametrize("uri", [LISTED, UNLISTED, "note://payroll%2F2026"])
async def test_t_41_what_is_forbidden_is_forbidden_listed_or_not(tmp_path: Path, uri: str) -> None:
    async with open_door(tmp_path) as door:
        furnish(door)
        assert "result" not in await read(door, uri)
        assert door.upstreams.asks == []


async def test_t_41_a_rule_about_one_of_them_says_its_reason(tmp_path: Path) -> None:
    async with open_door(tmp_path) as door:
        furnish(door)
        error = (await read(door, UNLISTED))["error"]
        assert (error["code"], "not for you" in error["message"]) == (4030, True)


@pytest.mark.parametrize(
    "uri",
    [
        "NOTE://secret", "Note://secret", "note://%73ecret", "note://secre%74", "note://x/../secret", "note://./secret",
        "note://%C3%BCnlisted", "note://secret\\", " note://secret", "note://secret\n", "note://se\u200bcret",
    ],
)  # fmt: skip
async def test_t_41_another_spelling_reaches_nothing(tmp_path: Path, uri: str) -> None:
    async with open_door(tmp_path) as door, Line(door) as line:
        furnish(door)
        headers, body = modern(door.token(), "resources/read", {"uri": uri})
        headers = [(name, value) for name, value in headers if name != "Mcp-Name"]
        name = f"=?base64?{b64encode(uri.encode()).decode()}?="
        got = await line.ask("POST", "/mcp", [*headers, ("Mcp-Name", name)], body)
        assert got.json["error"]["message"] == "Unknown resource"
        assert door.upstreams.asks == []


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    uri=st.sampled_from([LISTED, UNLISTED]),
    chosen=st.lists(st.booleans(), min_size=1, max_size=12).filter(any),
    small=st.booleans(),
)
def test_t_41_however_a_forbidden_uri_is_escaped_its_server_is_not_asked(
    tmp_path_factory: pytest.TempPathFactory, uri: str, chosen: list[bool], *, small: bool
) -> None:
    mount = catalogue(ENTRIES, [upstream("notes")]).mounts["/mcp"]
    other = escaped(uri, chosen, small=small)
    found = mount.resource(other)
    if found is not None:  # only what is escaped for a reason, and that is asked about by its meaning too
        assert quote(uri[7:], safe="") == other[7:]
        assert asyncio.run(_refused(tmp_path_factory.mktemp("d"), other))


async def _refused(data: Path, uri: str) -> bool:
    async with open_door(data) as door:
        furnish(door)
        return "result" not in await read(door, uri)
