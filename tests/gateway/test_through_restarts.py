"""A gateway of two workers whose servers, workers and own process come and go: what people have is there afterwards."""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from click.testing import CliRunner

from authz.people.accounts import add_person
from authz.people.sessions import begin_session
from authz.policy.rules import Draft, write_rule
from authz.tokens.keys import load_keys
from authz.tokens.minting import Minting, mint
from gateway.assembly import open_office
from gateway.cli import main
from gateway.settings import Settings
from registry.database import Concern
from tests.fakes.connecting import Visitor
from tests.fakes.gateway import Gateway
from tests.fakes.modern import headers, meta
from tests.fakes.ports import free_port
from tests.fakes.processes import announced_url, end, running, start
from tests.fakes.servers.channels import alive, children, descendants
from tests.fakes.servers.upstream_oauth import Upstream, serving
from tests.servers import on_postgresql

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from authz.tables import Person
    from gateway.office import Office

SERVERS = ("board", "asker", "changing")
WITHIN = 60.0  # seconds
SELDOM = "refresh_interval = 600\n"  # far more than that: no server is looked at again without a reason
ABLE: dict[str, Any] = {"io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}, "url": {}}}}
ASKS = "asker_test_streaming_elicitation"


@dataclass
class Place:
    gateway: Gateway
    board: Upstream
    office: Office
    ann: Person
    port: int  # of the server that is given other eras
    changing: list[subprocess.Popen[str]] = field(default_factory=list)

    def be(self, era: str) -> None:
        """From now on the server at that port speaks this era."""
        self.gone()
        self.changing.append(start("-m", "tests.fakes.fixture", "--era", era, "--port", str(self.port)))
        announced_url(self.changing[0])

    def gone(self) -> None:
        while self.changing:
            end(self.changing.pop())

    def restart(self) -> None:
        self.gateway.__exit__()
        self.gateway.__enter__()

    def visitor(self) -> Visitor:
        with self.office.database.change() as session:
            cookie = begin_session(session, self.ann, now=time.time(), life=3600, amr="pwd", address="127.0.0.1")
        return Visitor(self.gateway.url, "ann", cookie, self.board)

    def token(self) -> str:
        base = self.gateway.url
        asked = Minting(
            issuer=base, subject=self.ann.id, client="ostiary-cli", resource=f"{base}/mcp", scope="mcp", life=300
        )
        with self.office.database.read() as session:
            return mint(load_keys(session, self.office.vault), asked).token

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """On a connection of its own, which either worker may take."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": meta(**ABLE)}}
        with httpx2.Client(trust_env=False, timeout=WITHIN) as http:
            got = http.post(f"{self.gateway.url}/mcp", json=body, headers=headers(method, self.token(), **params))
        events = [line[6:] for line in got.text.splitlines() if line.startswith("data: {")]
        answer: dict[str, Any] = json.loads(events[-1] if events else got.text)
        return answer

    def call(self, name: str, **more: Any) -> dict[str, Any]:
        return self.ask("tools/call", name=name, **more)

    def names(self) -> list[str]:
        return [one["name"] for one in self.ask("tools/list")["result"]["tools"]]

    def tools(self) -> set[str]:
        return {name.partition("_")[0] for name in self.names()}

    def workers(self) -> list[int]:
        return children(self.gateway.pid)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    data = tmp_path_factory.mktemp("place") / "data"
    with ExitStack() as stack:
        board = stack.enter_context(serving(Upstream()))
        board.open_lists = True
        asker = stack.enter_context(running("-m", "tests.fakes.fixture", "--era", "legacy"))
        config = data.parent / "ostiary.toml"
        config.write_text(SELDOM)
        gateway = stack.enter_context(Gateway(data, "--config", str(config), "--workers", "2"))
        url = on_postgresql.environment(data).get("OSTIARY_DATABASE_URL")
        office = open_office(Settings(data=data, port=gateway.port, database_url=url))
        stack.callback(office.close)
        with office.database.change(Concern.PEOPLE, Concern.POLICY) as session:
            ann = add_person(session, "ann", password_hash="")
            for slug in SERVERS:
                draft = Draft(subject="user:ann", object=f"{slug}.*", action="*")
                write_rule(session, draft, who="operator:test", now=time.time())
        made = Place(gateway, board, office, ann, free_port())
        stack.callback(made.gone)
        made.be("modern")
        for slug, address, *options in (
            ("board", board.url, "--auth", "oauth-person"),
            ("asker", asker),
            ("changing", f"http://127.0.0.1:{made.port}/mcp"),
        ):
            run(data, "server", "add", slug, address, "--allow-address", *options)
            run(data, "server", "approve", slug, "--yes", "--accept-findings")
        until(lambda: all(made.tools() == set(SERVERS) for _ in range(8)))  # at either worker
        yield made


def run(data: Path, *words: str) -> None:
    """On the command line, without a process of its own."""
    done = CliRunner().invoke(main, [*words, "--data", str(data)], env=on_postgresql.environment(data))
    assert done.exit_code == 0, done.output


def until(holds: Callable[[], bool]) -> None:
    finish = time.monotonic() + WITHIN
    while not holds():
        assert time.monotonic() < finish, "it did not come to hold in time"
        time.sleep(0.2)


def parked(place: Place) -> dict[str, Any]:
    """A call that waits at its question, and what its client says to that."""
    asked = place.call(ASKS)["result"]
    [key] = asked["inputRequests"]
    said = {key: {"action": "accept", "content": {"name": "Ann"}}}
    return {"inputResponses": said, "requestState": asked["requestState"]}


def test_a_server_that_is_given_another_era_and_its_old_one_back_keeps_its_tools(place: Place) -> None:
    """Its library says other things of its tools in each, and of itself. The first call that finds out goes through."""
    offered = place.names()
    for era in ("legacy", "modern", "legacy"):
        place.be(era)
        for _ in range(4):
            assert "result" in place.call("changing_test_simple_text")
        assert place.names() == offered
    place.gone()
    assert "cannot be reached" in place.call("changing_test_simple_text")["error"]["message"]
    assert place.names() == offered
    place.be("modern")
    until(lambda: "result" in place.call("changing_test_simple_text"))


def test_a_link_and_an_account_outlive_the_gateway(place: Place) -> None:
    asked = place.call("board_whoami")["result"]
    [(key, request)] = asked["inputRequests"].items()
    place.restart()
    with place.visitor() as visitor:
        assert "is connected" in visitor.connect(request["params"]["url"]).text
    said = {"inputResponses": {key: {"action": "accept"}}, "requestState": asked["requestState"]}
    for more in (said, {}, {}, {}):
        assert json.loads(place.call("board_whoami", **more)["result"]["content"][0]["text"])["person"] == "ann"
    place.restart()
    assert json.loads(place.call("board_whoami")["result"]["content"][0]["text"])["person"] == "ann"
    assert place.tools() == set(SERVERS)


def test_a_call_that_waits_at_a_question_ends_with_the_gateway_and_its_client_hears_so(place: Place) -> None:
    said = parked(place)
    place.restart()
    assert "start the call anew" in place.call(ASKS, **said)["error"]["message"]
    said = parked(place)
    assert place.call(ASKS, **said)["result"]["content"][0]["text"] == "Hello, Ann!"


def test_workers_that_are_killed_are_replaced_and_nobody_waits_for_what_they_held(place: Place) -> None:
    said, before = parked(place), place.workers()
    assert len(before) == 2
    for worker in before:
        os.kill(worker, signal.SIGKILL)
    until(lambda: len(place.workers()) == 2 and not set(before) & set(place.workers()))
    until(lambda: _answers(place))
    assert "start the call anew" in place.call(ASKS, **said)["error"]["message"]
    assert json.loads(place.call("board_whoami")["result"]["content"][0]["text"])["person"] == "ann"


def _answers(place: Place) -> bool:
    try:
        return place.tools() == set(SERVERS)
    except httpx2.TransportError:
        return False


def test_nothing_is_left_behind_and_no_token_was_written(place: Place) -> None:
    processes, tokens = descendants(place.gateway.pid), [*place.board.accounts, *place.board.refreshes]
    place.gateway.__exit__()
    try:
        assert alive(processes) == []
        written = "".join(file.read_text() for file in (place.gateway.data / "journal").glob("*.jsonl"))
        assert tokens
        assert [token for token in tokens if token in written + place.gateway.output()] == []
    finally:
        place.gateway.__enter__()
