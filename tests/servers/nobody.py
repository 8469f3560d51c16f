"""A process in a sandbox whose keeper runs as a user that has no rights: what a gateway that is not root does."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path

from gateway.upstream.channels import keeper, sandbox
from gateway.upstream.channels.declared import DeclaredServer

NOBODY = 65534
PYTHON = "/usr/bin/python3"  # the system's: ours may be where nobody else can read
BOMB = """
import subprocess
count = 0
try:
    while count < {bomb}:
        subprocess.Popen(["/bin/sleep", "5"])
        count += 1
except OSError:
    print("stopped at", count, flush=True)
else:
    print("went on", flush=True)
"""


def as_nobody(*, processes: int, bomb: int) -> str:
    """What a program prints that begins as many processes as it can."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o777)
        declared = DeclaredServer(slug="bomb", command=(PYTHON,), processes=processes)
        plan = {
            "gateway": os.getpid(),
            "command": [PYTHON, "-c", BOMB.format(bomb=bomb)],
            "sandbox": sandbox.wrap(declared, directory),
            "passwd": sandbox.passwd(directory),
            "directory": str(directory),
            "memory": declared.memory,
            "processes": processes,
            "files": declared.files,
        }
        command = [PYTHON, "-I", "-S", keeper.__file__, json.dumps(plan)]
        who = {"user": NOBODY, "group": NOBODY} if os.geteuid() == 0 else {}
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60, **who)  # type: ignore[call-overload]
        return str(done.stdout + done.stderr)
