"""What a server's process writes to stderr: free text, put into our log without secrets and without end."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

from registry.screening.hidden import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

LINE_MOST = 2000  # characters of a line that are kept
LINES_FREE = 100  # of a process, at once
LINES_PER_SECOND = 2.0
SHORTEST_SECRET = 4  # characters; what is shorter would black out half of the text
REDACTED = "[redacted]"

log = logging.getLogger("ostiary")


class Chatter:
    """Feed it pieces as they come. `clock` gives seconds that only grow."""

    def __init__(self, server: str, secrets: Iterable[str], clock: Callable[[], float]) -> None:
        self._server = server
        parts = {part for one in secrets for part in (one, *one.splitlines())}  # a key may have several lines
        words = sorted((one for one in parts if len(one) >= SHORTEST_SECRET), key=len, reverse=True)
        self._secrets = re.compile("|".join(map(re.escape, words))) if words else None
        self._longest = len(words[0]) if words else 0
        self._clock = clock
        self._rest = b""
        self._cutting = False
        self._left = float(LINES_FREE)
        self._at = clock()
        self._dropped = 0

    def feed(self, piece: bytes) -> None:
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            if not self._cutting:
                self._say(line)
            self._cutting = False
        if len(self._rest) > 4 * LINE_MOST:
            if not self._cutting:
                self._say(self._rest, whole=False)
            self._rest, self._cutting = b"", True

    def end(self) -> None:
        if self._rest and not self._cutting:
            self._say(self._rest)
        self._rest = b""
        if self._dropped:
            log.warning("%s: %d more lines of its stderr were left out", self._server, self._dropped)
            self._dropped = 0

    def _say(self, line: bytes, *, whole: bool = True) -> None:
        if not line.strip():
            return
        if not self._may():
            self._dropped += 1
            return
        if self._dropped:
            log.warning("%s: %d lines of its stderr were left out", self._server, self._dropped)
            self._dropped = 0
        text = line.decode("utf-8", "replace").rstrip()
        if self._secrets is not None:
            text = self._secrets.sub(REDACTED, text)
            text = text if whole else text[: -self._longest]  # half a secret at its end is not known for one
        log.warning("%s says: %s", self._server, visible(text)[:LINE_MOST])

    def _may(self) -> bool:
        now = self._clock()
        self._left = min(LINES_FREE, self._left + (now - self._at) * LINES_PER_SECOND)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
