"""The credentials that a process has at hand, in memory alone, found by their key and looked at on every hit."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from authz.tokens.cutoffs import Cut

if TYPE_CHECKING:
    from authz.tokens.cutoffs import CutOffs
    from gateway.credentials import Key
    from registry.catalogue import Credential, Upstream

MOST: Final = 10_000
TRUSTED: Final = (
    900.0  # seconds after which one is obtained anew whatever it says of itself; shorter than a cut is kept
)
MARGIN: Final = 10.0  # seconds before its end that one is not used any more


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """`since` is when whoever obtained it began to look, `scopes` what it was asked to have besides."""

    credential: Credential
    upstream: Upstream
    since: float
    renew_at: float
    scopes: frozenset[str] = frozenset()
    instead: bool = False  # of one that the server had refused

    until: float = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "until", min(self.credential.until - MARGIN, self.since + TRUSTED))

    def is_for(self, upstream: Upstream) -> bool:
        """Whether the server is still known in the way, and at the place, that it was obtained for (T-49)."""
        return self.upstream is upstream or _place(self.upstream) == _place(upstream)


class Shelf:
    """Used on one event loop. Of too many the one goes that was not used for longest."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._entries: OrderedDict[Key, Entry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, key: Key, upstream: Upstream, cutoffs: CutOffs, now: float) -> Entry | None:
        """What may be sent to `upstream` now."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if now >= entry.until or not entry.is_for(upstream) or (cutoffs.moments and is_cut(cutoffs, key, entry.since)):
            del self._entries[key]
            return None
        self._entries.move_to_end(key)
        return entry

    def last(self, key: Key) -> Entry | None:
        """The same unlooked at: to know what was sent, never to send it."""
        return self._entries.get(key)

    def put(self, key: Key, entry: Entry) -> None:
        self._entries[key] = entry
        self._entries.move_to_end(key)
        if len(self._entries) > self._most:
            self._entries.popitem(last=False)

    def drop(self, key: Key) -> None:
        self._entries.pop(key, None)


def cut_key(server: str, subject: str) -> str:
    """What a cut-off calls a connection that was ended."""
    return f"{server}/{subject}"


def is_cut(cutoffs: CutOffs, key: Key, since: float) -> bool:
    """The same of what is at hand under `key`."""
    return ended(cutoffs, key.server, key.subject, since)


def ended(cutoffs: CutOffs, server: str, subject: str, since: float) -> bool:
    """Whether the connection of `subject` at `server`, or all that its person held, was ended since that moment."""
    if cutoffs.cuts(Cut.CONNECTION, cut_key(server, subject), since):
        return True
    return bool(subject) and cutoffs.cuts(Cut.PERSON, subject, since)


def has_ended(cutoffs: CutOffs, credential: Credential) -> bool:
    """Whether the connection that it is of, or all that its person held, was ended since it was obtained."""
    if not credential.since or not cutoffs.moments:
        return False
    return ended(cutoffs, credential.server, credential.subject, credential.since)


def _place(upstream: Upstream) -> tuple[object, ...]:
    return upstream.slug, upstream.url, upstream.transport, upstream.auth, upstream.auth_settings
