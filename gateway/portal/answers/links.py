"""A server of 2025-11-25 that wants a page to be opened before it goes on (error -32042, "URL Elicitation Required").

Modern clients that can open links have been asked by now (`gateway.upstream.legacy.convert`). Clients of its own
revision get the error, under the server's name; all others get words with the link in them. What may not be linked to
is in neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from gateway.portal.answers.screening import name_of, refusal, signed
from gateway.portal.calls.refusing import in_band, note_refusal
from gateway.portal.headers import LEGACY
from gateway.problems import URL_NEEDED
from gateway.upstream import Answer

if TYPE_CHECKING:
    from gateway.portal.calls.targets import Target
    from gateway.portal.exchange import Exchange
    from registry.catalogue import Upstream

MOST: Final = 5
_ELICITATION: Final = "elicitation/create"

_encode: Final = msgspec.json.Encoder().encode


def wants_links(answer: Answer) -> bool:
    """Whether the error is that one."""
    return b"-32042" in answer.error and msgspec.json.decode(answer.error).get("code") == URL_NEEDED


def led(exchange: Exchange, target: Target, answer: Answer) -> Answer:
    """The error or the words, if everything in it may be linked to."""
    server = exchange.snapshot.catalogue.upstreams[target.server]
    error = msgspec.json.decode(answer.error)
    asked = _elicitations(error)
    for one in asked:
        why = refusal(server, _ELICITATION, _encode(one), exchange.world.settings.base_url)
        if why:
            note_refusal(exchange, target, "question")
            return in_band(target, f"{why} Nothing was done.", {"reason": why})
    if asked and _knows_the_error(exchange):
        named = [msgspec.Raw(signed(server, _ELICITATION, _encode(one))) for one in asked]
        return Answer(error=_encode({**error, "data": {**error["data"], "elicitations": named}}))
    return in_band(target, _words(server, asked), {"reason": "a page must be opened first"})


def _elicitations(error: dict[str, Any]) -> list[dict[str, Any]]:
    data = error.get("data")
    found = data.get("elicitations") if isinstance(data, dict) else None
    return [{"mode": "url", **one} for one in found[:MOST] if isinstance(one, dict)] if isinstance(found, list) else []


def _knows_the_error(exchange: Exchange) -> bool:
    session = exchange.session
    return session is not None and session.version == LEGACY[0] and session.declares("elicitation", "url")


def _words(server: Upstream, asked: list[dict[str, Any]]) -> str:
    if not asked:
        return f"{name_of(server)} wants something to be done in a browser first, and does not say where."
    links = " ".join(f"{str(one.get('message', ''))[:500]} Open {one.get('url')} in a browser." for one in asked)
    return f"[{name_of(server)}] {links.strip()} Then call again."
