"""The real gateway, `ostiary up`, with a data directory of its own, and its command line."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterable

from gateway.snapshots import POLL
from tests.fakes import commands
from tests.fakes.ports import free_port
from tests.servers import on_postgresql

ROOT = Path(__file__).parents[2]
START_DEADLINE = 120.0  # seconds: a machine whose cores are shared may be at a fifth of its speed
END_DEADLINE = 60.0


SLACK = 0.1  # seconds, besides those of the poll, until a gateway has felt what a command has changed
CHANGING = frozenset({"server", "policy", "user", "group", "client"})


class CommandFailed(Exception):
    pass


class Gateway:
    """`with Gateway(tmp_path) as gateway:`; `url` is the public one, which differs behind a forwarder."""

    def __init__(self, data: Path, *flags: str, url: str = "", core: int | None = None, said: str = "output") -> None:
        self.data = data
        self._said = data / said
        self.port = free_port()
        self.url = url or f"http://127.0.0.1:{self.port}"
        self.servers: set[str] = set()
        self._flags = flags
        self._pin = [] if core is None else ["taskset", "-c", str(core)]

    @property
    def pid(self) -> int:
        return self._process.pid

    def __enter__(self) -> Self:
        self.data.mkdir(parents=True, exist_ok=True)
        command = [*self._pin, *self._command("up", "--port", str(self.port), *self._flags)]
        with self._said.open("w") as output:
            self._process = subprocess.Popen(
                command, stdout=output, stderr=output, cwd=ROOT, env=self._environment(), start_new_session=True
            )
        try:
            self._wait()
        except BaseException:
            self._process.kill()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(END_DEADLINE)
            return
        self._process.kill()
        self._process.wait()

    def wait(self) -> int:
        """Its exit code, once it has ended."""
        return self._process.wait(END_DEADLINE)

    def run(self, *arguments: str, given: str = "") -> str:
        """What `ostiary ARGUMENTS --data ...` prints."""
        began = time.monotonic()
        done = commands.run([*arguments, "--data", str(self.data)], self._environment(), given)
        if done.returncode != 0:
            raise CommandFailed(f"ostiary {' '.join(arguments)}\n{done.stdout}{done.stderr}")
        if arguments[0] in CHANGING and hasattr(self, "_process"):
            # where a command takes long, so does reading what it has changed
            time.sleep(POLL + max(SLACK, time.monotonic() - began))
        return done.stdout

    def output(self) -> str:
        """What the gateway itself has printed so far."""
        return self._said.read_text()

    def add_server(self, slug: str, url: str, *options: str) -> None:
        """Add it, approve it and everything that it offers."""
        self.run("server", "add", slug, url, "--allow-address", *options)
        self.run("server", "approve", slug, "--yes", "--accept-findings")
        self.servers.add(slug)

    def add_user(self, handle: str) -> str:
        """Somebody with a password, which is given back."""
        made: dict[str, str] = json.loads(self.run("user", "add", handle, "--generate", "--json"))
        return made["password"]

    def allow(self, subject: str, thing: str) -> None:
        """All actions on `thing`, such as `notes.*`, on every portal."""
        self.run("policy", "add", subject, thing, "--action", "*")

    def apply_rules(self, subject: str, things: Iterable[str]) -> None:
        """Let `subject` call each of these, besides all that the policy says already; in one transaction."""
        policy = yaml.safe_load(self.run("policy", "export"))
        policy["rules"] += [{"subject": subject, "object": thing, "action": "call"} for thing in things]
        file = self.data / "policy.yaml"
        file.write_text(json.dumps(policy))  # JSON is YAML, and read faster
        self.run("policy", "apply", str(file), "--yes")

    def token(self, handle: str, path: str) -> str:
        """An access token of 300 seconds for the resource at `path`."""
        printed = self.run("token", "issue", "--user", handle, "--resource", self.url + path, "--ttl", "300")
        return printed.strip().splitlines()[-1]

    def _command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "gateway", *arguments, "--data", str(self.data)]

    def _environment(self) -> dict[str, str]:
        return os.environ | {"OSTIARY_PUBLIC_URL": self.url} | on_postgresql.environment(self.data)

    def _wait(self) -> None:
        end = time.monotonic() + START_DEADLINE
        while time.monotonic() < end and self._process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.05)
        raise CommandFailed(f"the gateway did not start:\n{self.output()}")
