"""What policy answers, and the actions it is asked about."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

import msgspec

from authz.assurance import Assurance, Assured  # noqa: TC001 - structs resolve their annotations


class Action(StrEnum):
    """What may be used may be seen; LIST alone shows a thing that is then refused.

    Seeing is asked per kind, because a rule that lets somebody read `server.*` shows its resources, not its tools.
    LIST as a question is "anything at all"; as a rule's word it shows every kind.
    """

    LIST = "list"
    CALL = "call"
    READ = "read"
    GET = "get"
    SEE_TOOL = "list tool"
    SEE_RESOURCE = "list resource"
    SEE_PROMPT = "list prompt"

    @property
    def seeing(self) -> Action:
        """The question whether that which would be used so may be seen."""
        return _SEEING.get(self, self)


_SEEING = {Action.CALL: Action.SEE_TOOL, Action.READ: Action.SEE_RESOURCE, Action.GET: Action.SEE_PROMPT}
# How a definition of each kind is used, and seen; the keys are the words of registry.tables.Kind.
USED_AS = {"tool": Action.CALL, "prompt": Action.GET, "resource": Action.READ, "template": Action.READ}
SEEN_AS = {kind: use.seeing for kind, use in USED_AS.items()}


class Party(Protocol):
    """Who policy can be asked about: a Principal, or a hypothetical one in `ostiary policy test`."""

    @property
    def label(self) -> str: ...
    @property
    def subjects(self) -> frozenset[str]: ...
    @property
    def client(self) -> str: ...
    @property
    def scopes(self) -> frozenset[str]: ...
    @property
    def actor(self) -> Party | None: ...
    @property
    def assured(self) -> Assured: ...


class Word(StrEnum):
    """Why, for records and programs; `Decision.reason` says it to people and models."""

    ALLOWED = "allowed"
    NO_POLICY = "no_policy"
    NO_RULE = "no_rule"
    DENIED = "denied_by_rule"
    SCOPE = "scope"  # policy says yes, the token is too narrow: a wider one would help
    STEP_UP = "step_up"  # policy says yes to somebody who signed in otherwise: a stronger token would help
    NAME = "bad_name"
    TOO_SLOW = "too_slow"
    FAULT = "fault"


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """What holds for everybody of the same standing, until `until` (None: until the policy changes).

    Where it is `conditional` it holds for this one question: other arguments, or another sign-in, may change it.
    """

    allowed: bool
    word: Word
    rule: str = ""
    note: str = ""
    until: float | None = None
    needs: Assurance | None = None
    conditional: bool = False


class Decision(msgspec.Struct, frozen=True, gc=False):
    """True when allowed. `reason` and `remedy` are sentences that a model can act on; `id` finds it in the record.

    `until` is the earliest moment at which the same question may get another answer under the same `epoch`; where it
    is `conditional`, the same question with other arguments may get another at any time.
    """

    allowed: bool
    id: str
    reason: str
    remedy: str
    rule: str
    epoch: int
    until: float | None
    word: Word = Word.FAULT
    needs: Assurance | None = None
    conditional: bool = False

    def __bool__(self) -> bool:
        return self.allowed

    @property
    def wider_token_helps(self) -> bool:
        """Whether only the scopes of the token are in the way (RFC 6750 section 3.1, insufficient_scope)."""
        return self.word is Word.SCOPE

    @property
    def stronger_token_helps(self) -> bool:
        """Whether only how somebody signed in is in the way; `needs` says what would do (RFC 9470)."""
        return self.word is Word.STEP_UP
