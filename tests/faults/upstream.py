"""A modern server that writes down each call before it answers: `python -m tests.faults.upstream --log FILE`.

Called with the text `between PID`, it stops that process, sends its answer, and kills the process: the answer has
arrived and its outcome cannot be on record (T-82).
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.background import BackgroundTask

from tests.fakes.network.listening import options, serve
from tests.fakes.servers.counting import OnlyAtMcp, Upstream, application

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


ANSWERS_AFTER = 0.01  # seconds, on average


class Noting(Upstream):
    def __init__(self, log: Path) -> None:
        super().__init__()
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    async def mcp(self, request: Request) -> Response:
        answer = await super().mcp(request)
        message = self.seen.pop()["body"]
        if message.get("method") != "tools/call":
            return answer
        text = message["params"]["arguments"]["text"]
        os.write(self._log, f"{text}\n".encode())
        await asyncio.sleep(random.uniform(0, 2 * ANSWERS_AFTER))  # so that a kill meets calls that are out
        if text.startswith("between "):
            pid = int(text.split()[1])
            os.kill(pid, signal.SIGSTOP)
            answer.background = BackgroundTask(os.kill, pid, signal.SIGKILL)
        return answer


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--log", type=Path, required=True)
    chosen = parser.parse_args()
    serve(OnlyAtMcp(application(Noting(chosen.log)), "modern"), chosen.host, chosen.port)


if __name__ == "__main__":
    main()
