"""Whether this process lives, whether it can do its work, and if not, why not. Open to all, so without secrets."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

import msgspec
from starlette.responses import Response
from starlette.routing import Route

from authz.errors import AuthzError
from gateway import clock
from gateway.operating.checks import Check, State
from gateway.operating.standing import strained
from gateway.snapshots import STALE
from gateway.upstream.troubles import UNREAD
from registry.catalogue.assembling import ANOTHER_WAY, CHANGED, SUSPENDED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from gateway.snapshots import Snapshot
    from gateway.upstream.upstreams import Strain
    from gateway.world import World
    from registry.catalogue import Upstream

AMBER_AGE = 10.0  # seconds without a word from the database
WAITING = 60.0  # seconds that a record may be missing in the index of the journal
APPROVED_ONCE = frozenset({SUSPENDED, ANOTHER_WAY, CHANGED})
HEADERS = {"cache-control": "no-store", "x-content-type-options": "nosniff"}


def routes() -> list[BaseRoute]:
    """The two probes."""
    return [Route("/healthz", live, methods=["GET"]), Route("/readyz", ready, methods=["GET"])]


async def live(_request: Request) -> Response:
    """The event loop answers: that is all."""
    return _answer(200, {"status": "live"})


async def ready(request: Request) -> Response:
    """200 while calls are taken, 503 when not; either way every check with its reason. Nothing here can block."""
    checks = list(examine(request.app.state.world))
    worst = max(check.state for check in checks)
    report = {"status": worst.name.lower(), "checks": [check.told() for check in checks]}
    return _answer(503 if worst is State.RED else 200, report)


def examine(world: World) -> Iterator[Check]:
    """All checks, from memory alone."""
    snapshot = world.snapshots.current
    yield from _journal(world)
    yield from index(world.index.waiting, world.index.trouble)
    yield _state(world.snapshots.age(), world.snapshots.trouble)
    yield _policy(snapshot)
    yield _keys(snapshot, time.time())
    yield _clock()
    yield from secrets(snapshot.secrets)
    yield from _servers(snapshot, world.upstreams.strains(), time.time(), world.settings.stale_limit)


def _journal(world: World) -> Iterator[Check]:
    if not world.journal.healthy:
        why = "records cannot be written, so calls are refused"
        yield Check("journal", State.RED, why, "free or repair the disk of the data directory; we go on by ourselves")
        return
    warnings = world.journal.warnings
    yield Check("journal", State.AMBER if warnings else State.GREEN, "; ".join(warnings))


def index(waiting: float, trouble: str = "") -> Iterator[Check]:
    """How far the search index is behind the journal, where that is worth a word. Calls do not need it."""
    if waiting > WAITING or trouble:
        behind = f"records of the last {waiting:.0f} s are" if waiting >= 1 else "what is recorded now is"
        why = f"{behind} not in it yet" + (f" ({trouble})" if trouble else "")
        remedy = "the database or its disk is too slow for what is recorded, see the log; searches copy it first"
        yield Check("journal index", State.AMBER, why, remedy)


def _state(age: float, trouble: str) -> Check:
    """The state of things in the database: who may do what, what was revoked. Old news are dangerous, so they end."""
    why = f"no word from it for {age:.0f} s"
    remedy = "bring the database back; nothing needs to be restarted here"
    if trouble:
        why = f"its newest state cannot be taken over ({trouble}); the one before is {age:.0f} s old"
        remedy = "see the log; undo the latest change, or bring the database back"
    if age >= STALE:
        return Check("database", State.RED, f"{why}: a revocation could be missed, so calls are refused", remedy)
    if age > AMBER_AGE or trouble:
        return Check("database", State.AMBER, f"{why}; calls stop after {STALE:.0f} s", remedy)
    return Check("database", State.GREEN)


def _policy(snapshot: Snapshot) -> Check:
    if snapshot.policy.empty:
        return Check("policy", State.AMBER, "no rule is in force: nobody may do anything", "`ostiary policy add`")
    broken = snapshot.policy.broken
    if broken:
        why = f"{len(broken)} stored rules are not well formed and allow nothing: {', '.join(broken[:5])}"
        return Check("policy", State.AMBER, why, "`ostiary policy list` shows them; remove them")
    return Check("policy", State.GREEN)


def _keys(snapshot: Snapshot, now: float) -> Check:
    try:
        snapshot.keys.signer(now)
    except AuthzError as none:
        return Check("keys", State.RED, str(none), "tokens cannot be made until there is one")
    return Check("keys", State.GREEN)


def _clock() -> Check:
    if not clock.moved():
        return Check("clock", State.GREEN)
    why = f"the clock was moved by {clock.step():+.0f} s since the start, so calls, sign-in and new tokens are refused"
    return Check("clock", State.RED, why, "set it right (NTP) and we go on by ourselves; if it is right now, restart")


def secrets(problems: Sequence[str]) -> Iterator[Check]:
    """Sealed secrets that somebody changed behind our back (T-92). What hangs on them does not work; the rest does."""
    for problem in problems:
        yield Check("secrets", State.AMBER, problem, "`ostiary server credential SLUG`, then `server resume SLUG`")


def _servers(snapshot: Snapshot, strains: Mapping[str, Strain], now: float, stale_limit: float) -> Iterator[Check]:
    """A server that is down does not make us unready, but somebody should look."""
    hidden = dict(_hidden(snapshot.catalogue.paused))
    for slug, server in snapshot.catalogue.upstreams.items():
        if server.stale_since is None:
            yield strained(slug, strains.get(slug)) or hidden.get(slug) or Check(f"server:{slug}", State.GREEN)
            continue
        away = now - server.stale_since
        rest = _rest(server, trusted=away < stale_limit)
        why = f"failing for {away:.0f} s ({server.trouble or 'unknown'}); {rest}"
        yield Check(f"server:{slug}", State.AMBER, why, server.failure)
    yield from (check for slug, check in hidden.items() if slug not in snapshot.catalogue.upstreams)


def _hidden(paused: Mapping[tuple[str, str], str]) -> Iterator[tuple[str, Check]]:
    """Servers of which something that was approved is offered to nobody: their callers hear of unknown tools."""
    counts = Counter((name.partition(".")[0], why) for (_, name), why in paused.items() if why in APPROVED_ONCE)
    for (slug, why), many in counts.items():
        said = f"{many} of its definitions are offered to nobody: {why}"
        yield slug, Check(f"server:{slug}", State.AMBER, said, f"`ostiary server diff {slug}`")


def _rest(server: Upstream, *, trusted: bool) -> str:
    """What becomes of the tools of a server that cannot be read."""
    if server.trouble in UNREAD:
        return "its tools stay callable, and nobody sees if they change"
    return "its tools stay callable" if trusted else "its tools are no longer offered"


def _answer(status: int, body: Mapping[str, object]) -> Response:
    return Response(msgspec.json.encode(body), status, media_type="application/json", headers=HEADERS)
