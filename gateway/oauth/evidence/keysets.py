"""Other people's public keys, by the address of their JWK set (RFC 7517 section 5), remembered for a while.

An unknown `kid` has the set fetched again, but not more often than every half minute: keys rotate, and anybody can
name a key that never was.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from authz.errors import AssertionRefused
from gateway.fetch import FetchFailed
from idp_adapters.contract import ProviderDown
from registry.errors import AddressRefused

if TYPE_CHECKING:
    from gateway.fetch import Fetcher

LIMIT = 128 * 1024  # bytes of a set
TIMEOUT = 5.0  # seconds for all of it
FRESH = 60.0  # seconds that a set is believed without a look: so long may a key that was withdrawn still count
PAUSE = 30.0  # seconds between two looks, whatever is asked for
REMEMBERED = 256  # sets
AT_ONCE = 8  # threads that fetch, or wait for one that does

Keys = list[dict[str, Any]]


class _Set(msgspec.Struct):
    keys: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class _Held:
    keys: Keys
    looked_at: float

    def serves(self, kid: str | None, now: float) -> bool:
        """Whether this will do: it is fresh and has the key, or it was looked at only just now."""
        if now - self.looked_at < PAUSE:
            return True
        return now - self.looked_at < FRESH and any(kid in {None, key.get("kid")} for key in self.keys)


class KeySets:
    """One per process; safe between threads. An address is asked by one of them, and few wait: anybody may register a
    client whose keys take long to come, and pages and tokens of others need threads too.
    """

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher
        self._held: dict[str, _Held] = {}
        self._lock = threading.Lock()
        self._asking = [threading.Lock() for _ in range(2 * AT_ONCE)]
        self._places = threading.BoundedSemaphore(AT_ONCE)

    def keys(self, uri: str, kid: str | None) -> Keys:
        """The set at `uri`. Raises AssertionRefused when it cannot be had, also for the next half minute, and
        ProviderDown while too many are waiting for theirs.
        """
        held = self._held.get(uri)
        if held is None or not held.serves(kid, time.monotonic()):
            held = self._looked_at(uri, kid)
        if not held.keys:
            raise AssertionRefused("keys_unreachable")
        return held.keys

    def _looked_at(self, uri: str, kid: str | None) -> _Held:
        if not self._places.acquire(blocking=False):
            raise ProviderDown("keys_busy", "too many keys are being fetched; try again in a moment")
        try:
            with self._asking[hash(uri) % len(self._asking)]:
                held = self._held.get(uri)
                if held is None or not held.serves(kid, time.monotonic()):
                    held = _Held(self._fetched(uri), time.monotonic())
                    self._keep(uri, held)
                return held
        finally:
            self._places.release()

    def _fetched(self, uri: str) -> Keys:
        try:
            answer = self._fetcher.get(uri, limit=LIMIT, timeout=TIMEOUT)
            return msgspec.json.decode(answer.body, type=_Set).keys if answer.status == 200 else []
        except (AddressRefused, FetchFailed, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return []

    def _keep(self, uri: str, held: _Held) -> None:
        with self._lock:
            self._held.pop(uri, None)
            while len(self._held) >= REMEMBERED:
                self._held.pop(next(iter(self._held)))
            self._held[uri] = held
