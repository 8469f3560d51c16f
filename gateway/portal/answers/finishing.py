"""An answer of a server, as it may go on to the client: its questions screened, its states and task ids sealed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from gateway.portal import tasks
from gateway.portal.answers import screening
from gateway.portal.answers.labelling import labelled
from gateway.portal.answers.links import led, wants_links
from gateway.portal.calls import rounds
from gateway.portal.wire import join, members_of
from gateway.upstream import Answer
from gateway.upstream.tasks import METHODS

if TYPE_CHECKING:
    from gateway.portal.calls.targets import Target
    from gateway.portal.exchange import Exchange
    from registry.catalogue import Credential


class _Kind(msgspec.Struct):
    resultType: str = "complete"  # noqa: N815 - the name on the wire


_kind: Final = msgspec.json.Decoder(_Kind)


def finished(exchange: Exchange, target: Target, answer: Answer, credential: Credential | None = None) -> Answer:
    """The same answer, if it is a plain one. Raises Problem for what may not go on."""
    if answer.error and wants_links(answer):
        return led(exchange, target, answer)
    if not answer.result:
        return labelled(exchange.snapshot.catalogue.upstreams[target.server], answer)
    kind = kind_of(answer.result)
    if kind == "input_required":
        return rounds.wrap(exchange, target, screening.screened(exchange, target, answer))
    if exchange.message.method in METHODS:
        return tasks.told(exchange, target, answer, credential)
    if kind == "task":
        return tasks.begun(exchange, target, answer, credential)
    return for_one(answer) if exchange.message.method == "resources/read" else answer


def is_plain(result: bytes) -> bool:
    """Whether a result is complete, no failure, and has nothing in it that a person would not see: no if in doubt.

    `find` where others would write `in`, which for bytes makes an exception each time and drops it (CPython 3.11).
    """
    if not result or not result.isascii() or result.find(b"\\u") >= 0:
        return False
    return result.find(b"isError") < 0 and result.find(b"input_required") < 0 and result.find(b'"task"') < 0


def kind_of(result: bytes) -> str:
    """Its `resultType`. An escape could hide the word, so a body with one is looked at."""
    if b"input_required" not in result and b'"task"' not in result and b"\\u" not in result:
        return "complete"
    try:
        return _kind.decode(result).resultType
    except msgspec.DecodeError:
        return "complete"


def for_one(answer: Answer) -> Answer:
    """What was read may depend on who read it, whatever its server says: no cache may show it to anybody else."""
    members = members_of(answer.result)
    if members.get("ttlMs") is not None and bytes(members.get("cacheScope", b"")) == b'"private"':
        return answer
    members.setdefault("ttlMs", msgspec.Raw(b"0"))
    members["cacheScope"] = msgspec.Raw(b'"private"')
    return Answer(result=join(members))
