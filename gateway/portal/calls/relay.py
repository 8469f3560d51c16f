"""What a server says before its answer, on its way to the client that called."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gateway.portal.answers.screening import refusal, signed
from gateway.portal.calls.asking import LEVELS, PROGRESS_TOKEN, log_level
from gateway.portal.legacy.questions import ask_client
from gateway.portal.wire import join, members_of
from gateway.upstream.conversation import LINK_DONE
from gateway.upstream.legacy.parked import unanswered
from gateway.upstream.legacy.task_words import unrelated

if TYPE_CHECKING:
    from gateway.portal.exchange import Exchange
    from registry.catalogue import Upstream


class Relay:
    """The Downstream of one call."""

    __slots__ = ("_exchange", "_server")

    def __init__(self, exchange: Exchange, server: Upstream) -> None:
        self._exchange = exchange
        self._server = server

    async def notify(self, method: str, params: bytes) -> None:
        """Progress under the client's own token, messages if it opted in; nothing else belongs to a call."""
        if method == "notifications/progress":
            params = self._progress(params)
        elif method != LINK_DONE and (method != "notifications/message" or not self._wanted(params)):
            return
        if params:
            await self._exchange.reply.event(notification(method, params))

    def refuses(self, method: str, params: bytes) -> str:
        """Why the server may not have an answer to this; that it asked is on record."""
        exchange = self._exchange
        why = refusal(self._server, method, params, exchange.world.settings.base_url)
        if why:
            exchange.world.journal.note(
                "question.refused",
                **exchange.asker,
                server=self._server.slug,
                method=method[:64],
                reason=why,
                request_id=exchange.arrival.request_id,
            )
        return why

    async def request(self, method: str, params: bytes) -> bytes:
        """Only a legacy client can be asked in the middle of a call, and only what it declared."""
        if self.refuses(method, params):
            return unanswered(method)
        return await ask_client(self._exchange, method, signed(self._server, method, unrelated(params)))

    def _progress(self, params: bytes) -> bytes:
        token = self._exchange.message.meta.get(PROGRESS_TOKEN)
        if token is None:
            return b""
        return join({PROGRESS_TOKEN: token, **_without(members_of(params), PROGRESS_TOKEN)})

    def _wanted(self, params: bytes) -> bool:
        wanted = log_level(self._exchange)
        level = msgspec.json.decode(params).get("level")
        return bool(wanted) and level in LEVELS and LEVELS.index(level) >= LEVELS.index(wanted)


def notification(method: str, params: bytes) -> bytes:
    return b'{"jsonrpc":"2.0","method":"%s","params":%s}' % (method.encode(), params)


def _without(members: dict[str, msgspec.Raw], name: str) -> dict[str, msgspec.Raw]:
    members.pop(name, None)
    return members
