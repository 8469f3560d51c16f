"""The stream of a legacy session on which its server says what is in answer to nothing (2025-11-25, "Listening for
Messages from the Server").

Some SDKs put there what a tool asks while it works, with nothing that says of which call. It is put to the call that
began last: all calls of a session are of one person, who is told which server asks. The stream is there while calls
are, and a moment longer; without it such a server waits for ever.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from msgspec import UNSET

from gateway.egress.frames import Frames, FrameTooLarge
from gateway.egress.reply import Terms
from gateway.running import as_task
from gateway.upstream import UpstreamError
from gateway.upstream.envelope import reply_to
from gateway.upstream.legacy.parked import NO_SUCH_METHOD
from gateway.upstream.messages import parse
from gateway.upstream.unasked import Unasked

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.egress.pool import Egress
    from gateway.egress.reply import Reply
    from gateway.upstream.legacy.questions import Questions
    from gateway.upstream.legacy.sessions import Session
    from gateway.upstream.messages import Message

HEAD_TIME: Final = 0.5  # seconds that a call waits for the stream to stand; some servers say nothing until they must
LINGER: Final = 5.0  # seconds after the last call: the next may come soon
FRAME_MOST: Final = 1024 * 1024
TERMS: Final = Terms(3600.0, 3600.0, 0)  # silence is what it mostly says


class Beside:
    """Of one session: who is to hear what is asked, and the stream, if the server has one."""

    def __init__(self, egress: Egress, tell: Callable[[Session, bytes], Awaitable[None]]) -> None:
        self._egress = egress
        self._tell = tell
        self._calls: list[Questions] = []
        self._stream: asyncio.Task[None] | None = None
        self._stands = asyncio.Event()
        self._none = False  # the server has no such stream
        self._ending: asyncio.TimerHandle | None = None

    async def enter(self, session: Session, questions: Questions) -> None:
        """Before a call leaves: what is asked before the stream stands, the server throws away."""
        self._calls.append(questions)
        if self._ending is not None:
            self._ending.cancel()
            self._ending = None
        if self._none:
            return
        if self._stream is None or self._stream.done():
            self._stands.clear()
            self._stream = asyncio.create_task(self._listen(session))
        if not self._stands.is_set():
            await as_task()
            try:
                async with asyncio.timeout(HEAD_TIME):
                    await self._stands.wait()
            except TimeoutError:
                self._stands.set()  # it may stand all the same, and the next call does not wait for it

    def leave(self, questions: Questions) -> None:
        """The call is over."""
        self._calls.remove(questions)
        if not self._calls and self._stream is not None:
            self._ending = asyncio.get_running_loop().call_later(LINGER, self.close)

    def close(self) -> None:
        if self._stream is not None:
            self._stream.cancel()
            self._stream = None

    async def _listen(self, session: Session) -> None:
        """Until it ends, which is no fault: the next call begins another."""
        try:
            reply = await self._egress.exchange(
                session.route, "GET", session.lines, b"", TERMS, credential=session.credential, repeatable=True
            )
            try:
                self._none = not reply.stream
                self._stands.set()
                if reply.stream:
                    await self._read(session, reply)
            finally:
                reply.close()
        except (UpstreamError, FrameTooLarge):
            return
        finally:
            self._stands.set()

    async def _read(self, session: Session, reply: Reply) -> None:
        frames, unasked = Frames(FRAME_MOST), Unasked()
        while piece := await reply.more():
            found = frames.feed(piece)
            unasked.bear(1 + len(found))
            for frame in found:
                if frame.data:
                    await self._put(session, parse(frame.data))

    async def _put(self, session: Session, message: Message) -> None:
        """Only questions: changes are heard by whoever follows the server, and answers have no business here."""
        if message.method is UNSET or message.id is UNSET:
            return
        if self._calls:
            await self._calls[-1].heard(message)
        else:
            await self._tell(session, reply_to(bytes(message.id), error=NO_SUCH_METHOD))
