"""A call of a legacy server that asks, begun at one worker of a gateway and gone on with at another."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.door import Line, modern
from tests.fakes.gateway import Gateway
from tests.fakes.processes import running

if TYPE_CHECKING:
    from collections.abc import Iterator

ROUNDS = 16
MOUNT = "/servers/asker/mcp"
DECLARES = {"_meta": {"io.modelcontextprotocol/clientCapabilities": {"elicitation": {}}}}
CALL = {"name": "test_streaming_elicitation", **DECLARES}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with (
        running("-m", "tests.fakes.fixture", "--era", "legacy") as url,
        Gateway(tmp_path_factory.mktemp("two"), "--workers", "2") as gateway,
    ):
        gateway.add_user("ann")
        gateway.add_server("asker", url)
        gateway.allow("user:ann", "asker.*")
        yield gateway


class Reached:
    """What a `Line` needs to know of where it leads."""

    def __init__(self, gateway: Gateway) -> None:
        self.port, self.base = gateway.port, gateway.url


async def say(gateway: Gateway, token: str, **params: Any) -> dict[str, Any]:
    """One request on a connection of its own, which either worker may take."""
    async with Line(Reached(gateway)) as line:  # type: ignore[arg-type]  # as much of a door as it needs
        got = await line.ask("POST", MOUNT, *modern(token, "tools/call", CALL | params))
    answer: dict[str, Any] = got.events[-1] if got.events else got.json
    return answer


async def test_the_answers_find_the_call_at_whichever_worker_it_waits(gateway: Gateway) -> None:
    token = gateway.token("ann", MOUNT)
    for _ in range(ROUNDS):
        asked = (await say(gateway, token))["result"]
        assert asked["resultType"] == "input_required"
        [key] = asked["inputRequests"]
        said = {key: {"action": "accept", "content": {"name": "Ann"}}}
        done = await say(gateway, token, inputResponses=said, requestState=asked["requestState"])
        assert "result" in done, done
        assert done["result"]["content"][0]["text"] == "Hello, Ann!"
    writers = [writer for writer, line in records(gateway) if line.get("event") == "call.intent"]
    pairs = list(zip(writers[::2], writers[1::2], strict=True))
    assert {one == other for one, other in pairs} == {True, False}, (
        "some came back to the same worker, and some did not"
    )


def records(gateway: Gateway) -> list[tuple[str, dict[str, Any]]]:
    """All lines of the journal with who wrote them, in the order of time."""
    found = []
    for file in (gateway.data / "journal").rglob("*"):
        if file.is_file():
            lines = [line for line in file.read_bytes().splitlines() if line.startswith(b"{")]
            found += [(file.name, json.loads(line)) for line in lines]
    return sorted(found, key=lambda one: str(one[1].get("time", one[1].get("at", ""))))
