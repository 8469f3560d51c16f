"""The open channels of one process, each opened once for all who wait for it, and closed when nobody needs it."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.upstream import UpstreamBroken, UpstreamBusy, UpstreamError
from gateway.upstream.channels.opening import begin
from gateway.upstream.channels.talk import Talk
from gateway.upstream.troubles import Trouble

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Hashable

    from gateway.egress.budget import Budget
    from gateway.upstream import Ended
    from gateway.upstream.channels.places import Place
    from registry.tables import Era

FIRST_PAUSE = 1.0  # seconds before a channel that broke is opened again; doubled up to
LONGEST_PAUSE = 60.0
OF_ONE = 8  # channels to one server that one person may have at a time
TOO_MANY_OF_YOURS = "you use this server in too many ways at once; nothing was sent, try again shortly"
TOO_MANY_PEOPLE = "too many people use this server at once; nothing was sent, try again shortly"
ENDS = "the server ends the conversation, or itself, as soon as it begins"
SOUND = 60.0  # seconds a channel must have lived for what went before to be forgotten


@dataclass(slots=True)
class _Trouble:
    pause: float = FIRST_PAUSE
    until: float = 0.0


class Opened:
    """Used on one event loop."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._talks: dict[Hashable, tuple[Place, Talk]] = {}
        self._opening: dict[Hashable, tuple[Place, asyncio.Task[Talk]]] = {}
        self._troubles: dict[Hashable, _Trouble] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._news = asyncio.Event()

    def at(self, key: Hashable) -> Talk | None:
        """The open channel there, if there is one."""
        found = self._talks.get(key)
        return found[1] if found is not None and found[1].fault is None else None

    async def enter(self, place: Place, era: Era | None) -> Talk:
        """The channel, opened if need be. Raises UpstreamError; UpstreamBusy while one that broke is left alone."""
        talk = self.at(place.key)
        if talk is None:
            talk = await self._once(place, era)
        elif place.credential is not self._talks[place.key][0].credential:
            self._talks[place.key] = (place, talk)  # of the same account, and newer
        talk.wire.use(place.credential)
        return talk

    async def opened(self) -> None:
        """Until some channel is opened."""
        await self._news.wait()

    async def sweep(self) -> None:
        """Close what nobody has used for a while, and forget old trouble."""
        now = asyncio.get_running_loop().time()
        for place, talk in list(self._talks.values()):
            if not talk.busy and now - talk.used > place.idle:
                self._leave(place.key, talk)
        self._troubles = {key: one for key, one in self._troubles.items() if now < one.until + SOUND}

    def leave(self, server: str) -> None:
        """Close every channel to it; whoever waits for an answer hears so."""
        for place, talk in list(self._talks.values()):
            if place.server == server:
                self._leave(place.key, talk)

    def forsake(self, ended: Ended) -> None:
        """Close every channel of an account that has ended."""
        for place, talk in list(self._talks.values()):
            if place.credential is not None and ended(place.credential):
                self._leave(place.key, talk)

    async def close(self) -> None:
        opening = [task for _, task in self._opening.values()]
        for task in opening:
            task.cancel()
        await asyncio.gather(*opening, return_exceptions=True)
        for place, talk in list(self._talks.values()):
            self._leave(place.key, talk)
        await asyncio.gather(*self._ending, return_exceptions=True)

    async def _once(self, place: Place, era: Era | None) -> Talk:
        found = self._opening.get(place.key)
        if found is None:
            self._check_pause(place)
            self._make_room(place)
            found = self._opening[place.key] = (place, asyncio.create_task(self._open(place, era)))
            found[1].add_done_callback(lambda done: self._done(place, done))
        return await asyncio.shield(found[1])  # one who gives up must not take the others along

    async def _open(self, place: Place, era: Era | None) -> Talk:
        talk = Talk(place.make(), place.server, self._budget, shared=place.shared)
        talk.wire.use(place.credential)
        try:
            await begin(talk, era, place.capabilities)
        except UpstreamError as error:
            await talk.close()
            if error.trouble in {Trouble.PROCESS, Trouble.LOST}:  # the call that wanted it has not left
                raise UpstreamBroken(f"{ENDS}; nothing was sent", error.trouble) from error
            raise
        except asyncio.CancelledError:
            await talk.close()
            raise
        self._talks[place.key] = (place, talk)
        self._ending_of(self._bury(place, talk))
        news, self._news = self._news, asyncio.Event()
        news.set()
        return talk

    def _done(self, place: Place, task: asyncio.Task[Talk]) -> None:
        self._opening.pop(place.key, None)
        if not task.cancelled() and task.exception() is not None:
            self._broke(place)

    async def _bury(self, place: Place, talk: Talk) -> None:
        """When it ends by itself, whatever is left of it is ended, and the next one waits a little. One that was sound
        for long is opened again by the very next call, which notices nothing.
        """
        await talk.over.wait()
        if self._talks.get(place.key, (place, None))[1] is talk:
            del self._talks[place.key]
            if asyncio.get_running_loop().time() - talk.begun > SOUND:
                self._troubles.pop(place.key, None)
            else:
                self._broke(place)
            await talk.close()

    def _broke(self, place: Place) -> None:
        trouble = self._troubles.setdefault(place.key, _Trouble())
        trouble.until = asyncio.get_running_loop().time() + trouble.pause
        trouble.pause = min(2 * trouble.pause, LONGEST_PAUSE)

    def _check_pause(self, place: Place) -> None:
        trouble = self._troubles.get(place.key)
        wait = trouble.until - asyncio.get_running_loop().time() if trouble is not None else 0.0
        if wait > 0:
            raise UpstreamBusy("the way to the server broke just now; nothing was sent, try again", math.ceil(wait))

    def _make_room(self, place: Place) -> None:
        """Nobody keeps others out: what somebody has too many of goes first, which is asked with ever new abilities."""
        here = [one for one in self._places() if one.server == place.server]
        if sum(one.whose == place.whose for one in here) >= OF_ONE:
            self._end_idle(lambda one: (one.server, one.whose) == (place.server, place.whose), TOO_MANY_OF_YOURS)
        elif len(here) >= place.most:
            self._end_idle(lambda one: one.server == place.server, TOO_MANY_PEOPLE)

    def _places(self) -> list[Place]:
        """Of all that are open, or about to be."""
        return [place for place, _ in (*self._talks.values(), *self._opening.values())]

    def _end_idle(self, counts: Callable[[Place], bool], full: str) -> None:
        """Of these, what was used least goes; where all are in use, there is no room."""
        idle = [(one, talk) for one, talk in self._talks.values() if counts(one) and not talk.busy]
        if not idle:
            raise UpstreamBusy(full, 5, Trouble.FULL)
        oldest, talk = min(idle, key=lambda pair: pair[1].used)
        self._leave(oldest.key, talk)

    def _leave(self, key: Hashable, talk: Talk) -> None:
        del self._talks[key]
        self._ending_of(talk.close())

    def _ending_of(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
