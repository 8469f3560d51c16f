"""`notifications/tasks/status` on the GET stream of the session that began the tasks (2025-11-25, Tasks, "Task Status
Notification"): from looks of ours, as often as the server wants to be asked, and when it says that there is news.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from gateway.journal import JournalDown
from gateway.portal.legacy.tasks import announcing, book, words
from gateway.portal.legacy.tasks.looking import Failed, first_to_tell, look, named
from gateway.portal.listening.hints import Hint, begin
from gateway.portal.wire import members_of
from gateway.problems import Problem

if TYPE_CHECKING:
    from gateway.portal.listening.subscriptions import Stream

MOST: Final = 20  # tasks of a session that are followed at a time, the newest
SOON: Final = 5.0  # seconds between looks whether the session has begun others, and at a task at the soonest
LONGEST: Final = 60.0


class _Followed:
    """A task as it was last seen; `due` is when it is looked at again, which is now once its server says so."""

    def __init__(self, stream: Stream, ident: str, hint: Hint) -> None:
        self._hint = hint
        self.mark: tuple[str, str, str] | None = None
        self.due = 0.0
        self.ended = False
        self._hearing = begin(stream.exchange, ident, self)

    def tell(self, letter: str) -> None:
        self.due = 0.0
        self._hint.tell(letter)

    def end(self) -> None:
        self.ended = True
        if self._hearing is not None:
            self._hearing.cancel()


async def follow(stream: Stream) -> None:
    """Until cancelled."""
    followed: dict[str, _Followed] = {}
    hint = Hint()
    try:
        while True:
            for ident in await _of_the_session(stream):
                one = followed.get(ident) or followed.setdefault(ident, _Followed(stream, ident, hint))
                if not one.ended and one.due <= time.monotonic():
                    await _see(stream, ident, one)
            await hint.wait(SOON)
    finally:
        for one in followed.values():
            one.end()


async def _of_the_session(stream: Stream) -> list[str]:
    exchange = stream.exchange
    assert exchange.session is not None
    if not announcing.has_tasks(exchange, exchange.session.version):
        return []
    try:
        lines = await book.lines(exchange)
    except Problem:
        return []  # asked again in a moment
    return [line.ident for line in lines if line.session == exchange.session.id and not line.kept][-MOST:]


async def _see(stream: Stream, ident: str, one: _Followed) -> None:
    """Tells what is new since the last look, unless the stream of its result has told it."""
    task = named(stream.exchange, ident)
    try:
        members = await look(stream.exchange, task)
    except (Problem, Failed, JournalDown):
        one.end()  # not there for this client any more, or for now: it may ask itself
        return
    state = words.state_of(members)
    new = state.mark != one.mark and (one.mark is not None or state.status != "working")
    one.mark = state.mark
    if state.ended:
        one.end()
    pause = 0.0 if state.pollIntervalMs is None else state.pollIntervalMs / 1000
    one.due = time.monotonic() + min(max(pause, SOON), LONGEST)
    if new and await first_to_tell(stream.exchange, task, state.mark):
        await stream.say(words.STATUS, dict(members_of(words.task(members, task.ttl))))
