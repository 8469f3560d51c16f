"""The agents of `examples/agents`, set up and run as their READMEs say, against a real door with the demo."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from packaging.requirements import Requirement

from tests.examples.road import TOKENS, Instead, Road
from tests.fakes import modern
from tests.fakes.gateway import ROOT, Gateway

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.examples.road import Passing

AGENTS = Path("examples/agents")
NAMES = ("plain", "on_behalf", "framework", "nightly")
DEADLINE = 60.0
PORTAL = "/mcp"
REFUSED = re.compile(r"No rule allows (\S+) to call notes\.add here: notes are written by people\. Do not retry\.")


@dataclass
class Agent:
    """One example: the lines of its README, what they print once they are followed, and runs of its program."""

    door: Gateway
    name: str
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def lines(self) -> list[list[str]]:
        """The words of each line in its block of commands."""
        block = (ROOT / AGENTS / self.name / "README.md").read_text().split("```")[1]
        return [shlex.split(line, comments=True) for line in block.strip().splitlines()]

    @property
    def program(self) -> str:
        [program] = [words[1] for words in self.lines if words[0] == "python"]
        return program

    def asked_to_set(self) -> set[str]:
        """The variables that the README has its reader set."""
        words = " ".join(word for line in self.lines if line[0] in {"export", "read"} for word in line)
        return set(re.findall(r"DOOR_\w+", words))

    def set_up(self) -> None:
        """Follow the README as far as its program."""
        printed = "".join(self.door.run(*words[1:]) for words in self._commands()[0])
        for name, pattern in (("CLIENT_ID", "agt_"), ("CLIENT_SECRET", "ost_cs_"), ("DELEGATION", "dlg_")):
            for found in re.findall(rf"\b{pattern}[\w-]+", printed):
                self.environment[f"DOOR_{name}"] = found
        self.environment["DOOR_URL"] = self.door.url

    def look_afterwards(self) -> str:
        """What the README has its reader look at when the program has run."""
        return "".join(self.door.run(*words[1:]) for words in self._commands()[1])

    def _commands(self) -> tuple[list[list[str]], list[list[str]]]:
        """The lines of `ostiary` before its program and after it."""
        middle = [words[0] for words in self.lines].index("python")
        before, after = self.lines[:middle], self.lines[middle:]
        return [words for words in before if words[0] == "ostiary"], [words for words in after if words[0] == "ostiary"]

    def run(self, **changed: str) -> subprocess.CompletedProcess[str]:
        """The program, with nothing in its environment but what the README asks for."""
        environment = self.environment | changed
        done = subprocess.run(
            [sys.executable, self.program], cwd=ROOT, env=environment,
            capture_output=True, text=True, timeout=DEADLINE, check=False,
        )  # fmt: skip
        assert environment["DOOR_CLIENT_SECRET"] not in done.stdout + done.stderr
        return done

    def records(self, event: str, **about: str) -> list[dict[str, Any]]:
        """What the journal holds of this agent."""
        more = [word for name, value in about.items() for word in (f"--{name}", value)]
        found: list[dict[str, Any]] = json.loads(self.door.run("audit", "search", "--event", event, *more, "--json"))
        return [each for each in found if self.environment["DOOR_CLIENT_ID"] in json.dumps(each)]


@pytest.fixture(scope="module")
def road() -> Iterator[Road]:
    with Road() as road:
        yield road


@pytest.fixture(scope="module")
def door(road: Road, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Gateway(tmp_path_factory.mktemp("door") / "data", "--demo", url=road.url) as gateway:
        road.leads_to = gateway.port
        yield gateway


@pytest.fixture(autouse=True)
def _good_road(road: Road) -> None:
    road.clear()


def following(door: Gateway, name: str) -> Agent:
    agent = Agent(door, name)
    agent.set_up()
    return agent


@pytest.fixture(scope="module")
def plain(door: Gateway) -> Agent:
    return following(door, "plain")


@pytest.fixture(scope="module")
def on_behalf(door: Gateway) -> Agent:
    return following(door, "on_behalf")


@pytest.fixture(scope="module")
def framework(door: Gateway) -> Agent:
    return following(door, "framework")


@pytest.fixture(scope="module")
def nightly(door: Gateway) -> Agent:
    return following(door, "nightly")


@pytest.fixture
def short_lived(nightly: Agent) -> Agent:
    """With a delegation of its own, for its test to end."""
    [line] = [words for words in nightly.lines if words[1:3] == ["delegation", "add"]]
    given = json.loads(nightly.door.run(*line[1:], "--json"))
    return Agent(nightly.door, "nightly", nightly.environment | {"DOOR_DELEGATION": given["delegation"]})


@pytest.mark.parametrize("name", NAMES)
def test_a_readme_names_what_its_program_needs(name: str) -> None:
    agent = Agent(None, name)  # type: ignore[arg-type]
    needed = set(re.findall(r'os\.environ\["(\w+)"\]', (ROOT / agent.program).read_text()))
    assert agent.asked_to_set() == needed
    [pip] = [words[2:] for words in agent.lines if words[0] == "pip"]
    for each in map(Requirement, pip):
        assert version(each.name) in each.specifier


def test_an_agent_as_itself_lists_calls_and_takes_no_for_an_answer(plain: Agent) -> None:
    done = plain.run()
    assert done.returncode == 0, done.stderr
    assert "tools: clock_now, notes_list, notes_search, notes_add\n" in done.stdout
    assert '"zone": "UTC"' in done.stdout
    assert "Door code" in done.stdout
    refused = REFUSED.search(done.stderr)
    assert refused is not None
    assert refused[1] == "agent:courier"
    [record] = plain.records("call.refused", object="notes.add")
    assert record["decision"] in done.stderr


def test_an_agent_as_itself_gets_another_token_when_one_is_not_taken_any_more(plain: Agent, road: Road) -> None:
    road.trouble(PORTAL, 3, spoil)
    done = plain.run()
    assert done.returncode == 0, done.stderr
    assert "Door code" in done.stdout
    assert road.count(TOKENS) == 2


def test_an_agent_with_a_wrong_secret_ends_with_a_sentence(plain: Agent, road: Road) -> None:
    done = plain.run(DOOR_CLIENT_SECRET="ost_cs_wrong")
    assert done.returncode == 1
    assert re.match(r"The door at \S+ did not let us in: .*its secret is not right", done.stderr.splitlines()[-1])
    assert road.count(TOKENS) == 1


def test_an_agent_acts_for_a_person_with_one_token_for_one_tool(on_behalf: Agent) -> None:
    done = on_behalf.run()
    assert done.returncode == 0, done.stderr
    assert "notes.search: " in done.stdout
    assert '"title": "Written for somebody who is away"' in done.stdout
    assert re.fullmatch(r"notes\.delete: no token: .*nothing is left of it.*\n", done.stderr)
    tokens = on_behalf.records("token.exchanged")
    assert [token["scope"] for token in tokens] == ["notes.search", "notes.add"]
    assert {token["resource"] for token in tokens} == {f"{on_behalf.door.url}/servers/notes/mcp"}
    [called] = on_behalf.records("call.intent", object="notes.add")
    assert called["who"] == "user:editor"
    assert [actor["who"] for actor in called["actors"]] == ["agent:scribe"]
    assert re.search(r"user:editor +notes\.add .*agent:scribe", on_behalf.look_afterwards())


def test_an_agent_whose_delegation_has_ended_asks_once_and_ends_with_a_sentence(on_behalf: Agent, road: Road) -> None:
    given = on_behalf.door.run(
        "delegation", "add", "--user", "editor", "--agent", "scribe", "--scope", "notes.search", "--json"
    )
    ended = json.loads(given)["delegation"]
    on_behalf.door.run("delegation", "end", ended)
    done = on_behalf.run(DOOR_DELEGATION=ended)
    assert done.returncode == 1
    assert re.fullmatch(r"The door gives us no token: .*ended.*\n", done.stderr)
    assert road.passed == [(TOKENS, 400)]


def test_the_model_of_a_framework_sees_its_tools_and_reads_why_it_was_refused(framework: Agent) -> None:
    done = framework.run()
    assert done.returncode == 0, done.stderr
    assert "My tools: clock_now, notes_add, notes_list, notes_search\n" in done.stdout
    assert "notes_search (success): " in done.stdout
    assert "Door code" in done.stdout
    refused = REFUSED.search(done.stdout.partition("notes_add (failed): ")[2])
    assert refused is not None
    assert refused[1] == "agent:clerk"
    assert len(framework.records("call.refused", object="notes.add")) == 1


REPORT = re.compile(r"Welcome: \d+ characters\nDoor code: \d+ characters\n(.+: \d+ characters\n)+")


def reported(done: subprocess.CompletedProcess[str]) -> bool:
    """Whether the report is whole and nothing else was said."""
    assert done.returncode == 0, done.stderr
    return REPORT.fullmatch(done.stdout) is not None and not done.stderr


def given_up(done: subprocess.CompletedProcess[str], code: int, why: str) -> bool:
    """Whether it ended so, with one sentence and no half report."""
    assert done.returncode == code, done.stderr
    return re.fullmatch(rf"nightly: .*{why}.*\n", done.stderr) is not None and not done.stdout


def test_the_nightly_job_needs_one_token_while_that_lasts(nightly: Agent, road: Road) -> None:
    assert reported(nightly.run())
    assert road.count(TOKENS) == 1
    assert {status for _, status in road.passed} == {200}


def test_the_nightly_job_takes_another_token_before_one_ends(nightly: Agent, road: Road) -> None:
    road.token_life = 15  # which is as early as it looks for another
    assert reported(nightly.run())
    assert road.count(TOKENS) == road.count(PORTAL) > 2
    assert {status for _, status in road.passed} == {200}


def test_the_nightly_job_goes_on_with_another_token_when_one_is_not_taken_any_more(nightly: Agent, road: Road) -> None:
    road.trouble(PORTAL, 2, spoil)
    assert reported(nightly.run())
    assert road.count(TOKENS) == 2
    assert [status for path, status in road.passed if path == PORTAL].count(401) == 1


def test_the_nightly_job_does_not_go_on_asking_for_tokens_that_are_never_taken(nightly: Agent, road: Road) -> None:
    road.trouble(PORTAL, 0, spoil)
    assert given_up(nightly.run(), 77, "does not take the token")
    assert road.passed == [(TOKENS, 200), (PORTAL, 401)] * 2


def test_the_nightly_job_asks_a_busy_door_again(nightly: Agent, road: Road) -> None:
    road.trouble(TOKENS, 1, lambda _: Instead(429, {"Retry-After": "0"}))
    road.trouble(PORTAL, 2, lambda _: Instead(503))
    assert reported(nightly.run())
    assert (TOKENS, 429) in road.passed
    assert (PORTAL, 503) in road.passed


def test_the_nightly_job_leaves_a_door_alone_that_is_busy_for_long(nightly: Agent, road: Road) -> None:
    road.trouble(PORTAL, 0, lambda _: Instead(503, {"Retry-After": "3600"}))
    assert given_up(nightly.run(), 75, "the door answers 503")
    assert road.count(PORTAL) == 1


def test_the_nightly_job_reports_a_delegation_that_was_ended_before_it_began(short_lived: Agent, road: Road) -> None:
    short_lived.door.run("delegation", "end", short_lived.environment["DOOR_DELEGATION"])
    assert given_up(short_lived.run(), 77, "this delegation is ended")
    assert road.passed == [(TOKENS, 400)]


def test_the_nightly_job_reports_a_delegation_that_is_ended_while_it_works(short_lived: Agent, road: Road) -> None:
    def end(passing: Passing) -> None:
        short_lived.door.run("delegation", "end", short_lived.environment["DOOR_DELEGATION"])
        until_refused(short_lived.door, passing.headers["authorization"].removeprefix("Bearer "))

    road.trouble(PORTAL, 3, end)
    assert given_up(short_lived.run(), 77, "this delegation is ended")
    assert [status for path, status in road.passed if path == TOKENS] == [200, 400]
    assert [status for path, status in road.passed if path == PORTAL] == [200, 200, 401]


def test_the_nightly_job_reports_a_tool_that_was_taken_away(nightly: Agent, road: Road) -> None:
    rule = nightly.door.run("policy", "add", "user:editor", "notes.read", "--deny", "--note", "not by night").split()[0]
    try:
        assert given_up(nightly.run(), 77, r"not allowed any more: notes\.read")
    finally:
        nightly.door.run("policy", "remove", rule)
    assert road.passed == [(TOKENS, 200)]


def spoil(passing: Passing) -> None:
    """As a token is that has ended: the door does not take it."""
    passing.headers["authorization"] = "Bearer " + "x" * 40


def until_refused(door: Gateway, token: str) -> None:
    """Ends when what was revoked is refused; past the road, of which it is no business."""
    deadline = time.monotonic() + 60
    headers = modern.headers("tools/list", token) | {"Host": door.url.removeprefix("http://")}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": modern.meta()}}
    address = f"http://127.0.0.1:{door.port}{PORTAL}"
    while httpx2.post(address, json=body, headers=headers, timeout=60).status_code != 401:
        assert time.monotonic() < deadline, "the delegation was ended, and its token is taken still"
        time.sleep(0.02)
