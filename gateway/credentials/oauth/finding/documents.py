"""Documents that servers and authorization servers publish about themselves."""

from __future__ import annotations

import time
from threading import Lock
from typing import TYPE_CHECKING, Final, Generic, TypeVar

import msgspec

from gateway.credentials import Unanswered
from gateway.fetch import FetchFailed
from registry.errors import AddressRefused

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.fetch import Fetcher
    from idp_adapters.contract import HttpAnswer

LIMIT: Final = 128 * 1024  # bytes of a document
TIMEOUT: Final = 5.0  # seconds for all of it; somebody may be waiting at a browser
REMEMBERED: Final = 1024  # documents of one kind

Document = TypeVar("Document")


def fetch(fetcher: Fetcher, url: str, kind: type[Document], what: str) -> Document | None:
    """The document at `url`; None if there is none there. Raises Unanswered for all else, redirects with it (T-45)."""
    answer = ask(lambda: fetcher.get(url, limit=LIMIT, timeout=TIMEOUT), what)
    if 400 <= answer.status < 500 and answer.status != 429:
        return None
    if answer.status != 200:
        raise Unanswered(f"{what} cannot be read: its address answered with status {answer.status}")
    try:
        return msgspec.json.decode(answer.body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Unanswered(f"{what} is not the JSON document that it has to be") from error


def ask(request: Callable[[], HttpAnswer], what: str) -> HttpAnswer:
    """What the guarded way out gives. Raises Unanswered in words for an administrator."""
    try:
        return request()
    except AddressRefused as refused:
        raise Unanswered(f"{what} is at an address that is not connected to: {refused}") from refused
    except FetchFailed as failed:
        raise Unanswered(f"{what} cannot be had: {failed}") from failed


class Remembered(Generic[Document]):
    """Documents by their address, for as long as they are believed without a look; safe to share between threads."""

    def __init__(self, life: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._life = life
        self._clock = clock
        self._lock = Lock()
        self._kept: dict[str, tuple[float, Document]] = {}

    def get(self, key: str, fetch: Callable[[], Document], *, fresh: bool = False) -> Document:
        """What is kept, or what `fetch` gives now. Of two at once both may fetch: either is as good."""
        with self._lock:
            until, kept = self._kept.get(key, (0.0, None))
        if kept is not None and not fresh and self._clock() < until:
            return kept
        found = fetch()
        with self._lock:
            if len(self._kept) >= REMEMBERED:
                self._kept.clear()
            self._kept[key] = (self._clock() + self._life, found)
        return found

    def forget(self, key: str) -> None:
        """Something that was done by it failed: the next look is a fresh one."""
        with self._lock:
            self._kept.pop(key, None)
