"""Calls under way: what waits for a server here, taken back when what let it begin is revoked (P-4).

A token, a person, a right, a tool or an account at the server may end while a call waits. Each new snapshot judges what
is under way; a call that could not begin now is cancelled, its outcome says `revoked`, and nobody gets its answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.credentials.shelf import has_ended
from gateway.portal.calls.running import RunningTasks
from gateway.portal.calls.targets import TARGETS, decided
from gateway.portal.lasting import judged_by
from gateway.problems import REFUSED, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.portal.calls.sending import Call
    from gateway.snapshots import Snapshot, Snapshots

REVOKED: Final = "What allowed this call was ended while it was under way."


class Underway:
    """The calls of one process, by the id of their record."""

    def __init__(self) -> None:
        self._calls: dict[str, Call] = {}
        self.tasks = RunningTasks()

    def __len__(self) -> int:
        return len(self._calls)

    def __iter__(self) -> Iterator[Call]:
        return iter(self._calls.values())

    def begin(self, call: Call) -> None:
        self._calls[call.record] = call

    def end(self, record: str) -> None:
        del self._calls[record]

    async def watch(self, snapshots: Snapshots) -> None:
        """Judges what is under way by every snapshot from now on, until cancelled."""
        async for snapshot in snapshots.changes():
            self.recall(snapshot)

    def recall(self, snapshot: Snapshot) -> None:
        """Cancels what could not begin now."""
        self.tasks.recall(snapshot)
        for call in tuple(self._calls.values()):
            request = call.request
            if request is not None and not request.recalled and not _holds(call, snapshot):
                request.recalled = True
                request.run.cancel()


def _holds(call: Call, snapshot: Snapshot) -> bool:
    if call.credential is not None and has_ended(snapshot.cutoffs, call.credential):
        return False
    judged = judged_by(call.exchange, snapshot, in_time=False)
    if judged is None:
        return False
    try:
        found = TARGETS[judged.message.method](judged).entry
    except Problem:  # what it is about is not there any more
        return False
    return found is not None and bool(decided(judged, call.target))


def revoked(ident: bytes) -> Problem:
    """What the caller is told instead of the answer."""
    return Problem(403, REFUSED, REVOKED, ident=ident)
