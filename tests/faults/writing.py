"""A fork server of journal writers, to be killed: `python -m tests.faults.writing DIRECTORY`.

For every line on standard input it forks a writer and prints its process id. A writer records an intent, lets the call
"leave" (one line in `left`), records the outcome and "answers" (one line in `answered`), for ever. With `between` as
the line, it kills itself after an answer of the server and before its outcome (T-82).
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
from pathlib import Path

from gateway.journal.writer import open_journal
from tests.gateway.journal.conftest import KEY, intend

LIMIT = 30_000  # small segments, so that kills meet rotations


def write(directory: Path, *, between: bool) -> None:
    left = os.open(directory.parent / "left", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    answered = os.open(directory.parent / "answered", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    journal = open_journal(directory, KEY, limit=LIMIT)
    for number in itertools.count():
        call = f"{os.getpid()}.{number}"
        intend(journal, call, b'{"text":"' + b"x" * (number % 7 * 600) + b'"}')
        os.write(left, f"{call}\n".encode())
        if between and number == 5:
            os.kill(os.getpid(), signal.SIGKILL)
        journal.conclude(call, "ok")
        os.write(answered, f"{call}\n".encode())


def main() -> None:
    directory = Path(sys.argv[1])
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            write(directory, between=line.strip() == "between")
        print(child, flush=True)
        os.waitpid(child, 0)
        print("dead", flush=True)


if __name__ == "__main__":
    main()
