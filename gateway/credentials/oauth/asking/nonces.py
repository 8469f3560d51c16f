"""What servers and authorization servers want in the next proof of a key (RFC 9449 sections 8 and 9)."""

from __future__ import annotations

import re
from collections import OrderedDict
from threading import Lock
from typing import Final

REMEMBERED: Final = 10_000
_NONCE: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,1024}")  # section 8.1


class Nonces:
    """What each place last wanted in the proofs of each key; safe to share between threads."""

    def __init__(self, most: int = REMEMBERED) -> None:
        self._most = most
        self._lock = Lock()
        self._kept: OrderedDict[tuple[str, str], str] = OrderedDict()

    def of(self, place: str, jkt: str) -> str:
        with self._lock:
            return self._kept.get((place, jkt), "")

    def keep(self, place: str, jkt: str, nonce: str) -> bool:
        """Whether it is one at all."""
        if not _NONCE.fullmatch(nonce):
            return False
        with self._lock:
            self._kept[place, jkt] = nonce
            self._kept.move_to_end((place, jkt))
            if len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return True
