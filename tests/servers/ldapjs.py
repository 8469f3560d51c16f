"""A lying directory on npm's ldapjs: it accepts every password, and what it answers depends on who is asked for."""

from __future__ import annotations

import json
import select
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import npm
from tests.fakes.network.certificates import Authority

if TYPE_CHECKING:
    from collections.abc import Iterator

VERSION = "3.0.7"
SCRIPT = Path(__file__).parent / "ldapjs_liar.js"
BASE = "dc=lab,dc=test"


@dataclass(frozen=True)
class Liar:
    url: str
    ca_file: Path


@contextmanager
def ldapjs(place: Path) -> Iterator[Liar]:
    authority = Authority(place)
    certified = authority.certify("127.0.0.1")
    package = npm.package("ldapjs", VERSION)
    command = [npm.node(), str(SCRIPT), str(package), str(certified.certificate), str(certified.key)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Liar(f"ldaps://127.0.0.1:{_port(process)}", authority.certificate)
        finally:
            process.terminate()
            process.wait(60)


def _port(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], 120)
    line = process.stdout.readline() if ready else ""
    if not line:
        pytest.fail("ldapjs did not come up")
    port: int = json.loads(line)["port"]
    return port
