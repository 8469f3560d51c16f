"""A server's error, marked as its own: nobody shall take its words for ours, or its code for one of ours (T-67)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from gateway.portal.wire import join, members_of
from gateway.problems import INTERNAL_ERROR, REFUSED
from gateway.upstream import Answer
from registry.screening.hidden import visible

if TYPE_CHECKING:
    from registry.catalogue import Upstream

LONGEST: Final = 2000  # characters of a message; the rest helps nobody

_encode: Final = msgspec.json.Encoder().encode


class _Error(msgspec.Struct):
    code: int
    message: str


_error: Final = msgspec.json.Decoder(_Error)


def labelled(upstream: Upstream, answer: Answer) -> Answer:
    """The same error under the server's name, short, with nothing hidden in it; its other members as they were."""
    said = _error.decode(answer.error)
    members = members_of(answer.error)
    text = visible(said.message[:LONGEST])
    members["message"] = msgspec.Raw(_encode(f"From {upstream.title or upstream.slug}: {text}"))
    members["code"] = msgspec.Raw(b"%d" % (INTERNAL_ERROR if said.code == REFUSED else said.code))
    return Answer(error=join(members))
