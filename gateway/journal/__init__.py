"""The append-only record: an intent before a call leaves, an outcome before its answer returns.

Files of JSON lines, hash-chained from the first line, one writer per process, segments of 64 MiB. Safe to call from
any thread; a record is one `write(2)` under a lock, or shares one with others that are held for a moment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from authz.principals import Principal

GATEWAY: Final = "ostiary"  # `who`, where nobody asked the gateway for what it does


class JournalDown(Exception):
    """A record cannot be written: nothing may leave, nothing may be answered but 503."""


class About:
    """What is the same for call after call of a principal to a tool: the facts, and the same as members of a record."""

    __slots__ = ("facts", "principal", "written")

    def __init__(self, principal: Principal, facts: dict[str, Any], written: bytes) -> None:
        self.principal = principal
        self.facts = facts
        self.written = written


class Journal(Protocol):
    """What the rest of the gateway may do with the record.

    Events are dotted nouns and verbs: `call.intent`, `call.outcome`, `call.refused`, `list`, `signin`,
    `signin.refused`, `token.issued`, `policy.changed`, `server.approved` …; field names are those of docs/journal.md.
    """

    @property
    def writer(self) -> str:
        """Under which name this process writes."""

    @property
    def written(self) -> int:
        """The number of its newest record that counts: what a write that failed has left behind does not."""

    def about(
        self,
        principal: Principal,
        *,
        method: str,
        server: str,
        object: str,  # noqa: A002
        rule: str,
        epoch: int,
        portal: str,
        era: str,
    ) -> About:
        """Who does what where, and by which rule."""

    def intend(
        self,
        about: About,
        *,
        call: str,
        decision: str,
        request_id: str,
        arguments: bytes,
        value: Any = None,
        held: bool = False,
    ) -> None:
        """Written before the call leaves; `call` is the id that the outcome will repeat. Raises JournalDown.

        `value` is what is in the arguments, where they have been decoded. What is `held` is not written yet: that is
        done together with others by `release`, before which nothing may leave.
        """

    def conclude(self, call: str, outcome: str, *, held: bool = False, **facts: Any) -> None:
        """`ok`, `tool_error`, `error`, `cancelled`, `timeout`, `broken`, `unknown`. Raises JournalDown."""

    def release(self) -> None:
        """Writes what is held. Raises JournalDown if any of that is lost: then none of it may go on."""

    def note(self, event: str, *, who: str, **facts: Any) -> None:
        """Anything that is not a call: a refusal, a listing, a sign-in, a change. Raises JournalDown."""

    def refused_unauthenticated(self, source: str, *, reason: str, **facts: Any) -> None:
        """A refusal of somebody unknown at the address `source`: in full at first, then counted. Raises JournalDown."""

    @property
    def strict(self) -> bool:
        """Whether each record is on the disk before the call that it is about goes on."""

    async def durable(self) -> None:
        """With strict durability: returns when all written so far is on the disk. Otherwise at once."""

    @property
    def healthy(self) -> bool:
        """Whether a record could be written now, as far as is known."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What an operator should know before it is too late, as sentences."""

    def close(self) -> None:
        """Seal the segment."""
