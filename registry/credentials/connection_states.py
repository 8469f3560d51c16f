"""The life of a connection, as pure functions: each says what follows, or raises WrongState where it may not.

connected → expiring, refreshing; refreshing → connected; any of them → needs-reconnect or revoked. From these two only
a person leads back, by connecting.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from registry.errors import WrongState
from registry.tables import ConnectionState

WARNING: Final = 3 * 86400.0  # seconds before the end that people are told, or a quarter of its life if that is less
RENEW_FROM: Final = 0.65  # of the life of a token; the rest is for an authorization server that is away
RENEW_SPREAD: Final = 0.2  # so that not all that began together come back together
SOONEST: Final = 30.0  # seconds between two renewals while nobody calls, however short a life is said to be
FIRST_PAUSE: Final = 15.0  # seconds; twice as long after each attempt in vain
LONGEST_PAUSE: Final = 900.0
LONGEST_ASKED: Final = 3600.0  # the most that we wait because an authorization server says so
ALIVE: Final = frozenset({ConnectionState.CONNECTED, ConnectionState.EXPIRING, ConnectionState.REFRESHING})


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """How long what was just given lasts: the token, and all of it; `renewable` if no person is needed for the next."""

    expires_at: float | None = None
    ends_at: float | None = None
    renewable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What of a connection its state is made of. `refresh_at` is None where nothing is to be renewed."""

    state: ConnectionState
    why: str
    changed_at: float
    connected_at: float
    expires_at: float | None = None
    ends_at: float | None = None
    refresh_at: float | None = None
    attempts: int = 0
    warned_at: float | None = None

    @property
    def alive(self) -> bool:
        return self.state in ALIVE

    @property
    def end(self) -> float | None:
        """When it will be over unless a person does something; None where nobody can say."""
        known = [one for one in (self.ends_at, None if self.refresh_at else self.expires_at) if one is not None]
        return min(known, default=None)

    @property
    def warn_at(self) -> float | None:
        return None if self.end is None else self.end - min(WARNING, (self.end - self.connected_at) / 4)


def connected(life: Life, now: float, chance: float) -> Standing:
    """A person connected it; whatever was before is over. `chance` is in [0, 1)."""
    fresh = Standing(state=ConnectionState.CONNECTED, why="", changed_at=now, connected_at=now)
    return settled(_living(fresh, life, now, chance), now)


def refreshing(standing: Standing, now: float, within: float) -> Standing:
    """Its token is about to be presented for another; if nothing is heard of that `within` seconds, it is again."""
    _check_alive(standing, "renewed")
    since = standing.changed_at if standing.state is ConnectionState.REFRESHING else now
    return replace(standing, state=ConnectionState.REFRESHING, changed_at=since, refresh_at=now + within)


def renewed(standing: Standing, life: Life, now: float, chance: float) -> Standing:
    """It has a new token."""
    _check_alive(standing, "renewed")
    given = replace(standing, state=ConnectionState.CONNECTED, why="", changed_at=now, attempts=0)
    return settled(_living(given, life, now, chance), now)


def put_off(standing: Standing, why: str, now: float, chance: float, asked: float = 0.0) -> Standing:
    """It could not be renewed now, and is tried again: later each time, and not before the `asked` seconds."""
    _check_alive(standing, "renewed")
    pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(standing.attempts, 10)) * (0.5 + chance / 2)
    waiting = refreshing(standing, now, max(pause, min(asked, LONGEST_ASKED)))
    return replace(waiting, why=why, attempts=standing.attempts + 1)


def needing(standing: Standing, why: str, now: float) -> Standing:
    """Only a person can go on: it was refused, it ran out, or it is not what it was."""
    _check_alive(standing, "given up")
    return _over(standing, ConnectionState.NEEDS_RECONNECT, why, now)


def revoked(standing: Standing, why: str, now: float) -> Standing:
    """Ended on purpose, from whatever state; what was revoked stays as it was."""
    if standing.state is ConnectionState.REVOKED:
        return standing
    return _over(standing, ConnectionState.REVOKED, why, now)


def settled(standing: Standing, now: float) -> Standing:
    """What has become of it by the mere passing of time."""
    if not standing.alive:
        return standing
    if standing.end is not None and standing.end <= now:
        return needing(standing, "it has run out; connect it again", now)
    if standing.state is ConnectionState.CONNECTED and standing.warn_at is not None and standing.warn_at <= now:
        why = "it will run out and cannot be renewed without you; connect it again"
        return replace(standing, state=ConnectionState.EXPIRING, why=why, changed_at=now)
    return standing


def warned(standing: Standing, now: float) -> Standing:
    """If it is about to end, people have been told."""
    if standing.state is not ConnectionState.EXPIRING or standing.warned_at is not None:
        return standing
    return replace(standing, warned_at=now)


def _living(standing: Standing, life: Life, now: float, chance: float) -> Standing:
    refresh_at = None
    if life.renewable and life.expires_at is not None:
        left = max(0.0, life.expires_at - now)
        refresh_at = now + max(SOONEST, left * (RENEW_FROM + RENEW_SPREAD * chance))
    living = replace(standing, expires_at=life.expires_at, ends_at=life.ends_at, refresh_at=refresh_at)
    return (
        living if living.end == standing.end else replace(living, warned_at=None)
    )  # of another end they are told anew


def _over(standing: Standing, state: ConnectionState, why: str, now: float) -> Standing:
    return replace(standing, state=state, why=why, changed_at=now, refresh_at=None)


def _check_alive(standing: Standing, what: str) -> None:
    if not standing.alive:
        raise WrongState(f"a connection that is {standing.state} cannot be {what}: a person has to connect it")
