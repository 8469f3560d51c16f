"""A call that asks, and what may be asked: the words that parked calls and tasks share."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Final

import msgspec

from gateway.upstream import Answer, AskRefused, UpstreamBroken
from gateway.upstream.legacy.task_words import unrelated
from gateway.upstream.messages import joined, members

if TYPE_CHECKING:
    from authz.principals import Principal
    from gateway.upstream import Downstream
    from registry.catalogue import Credential

LIFE: Final = 600.0  # seconds for which a question may be thought about, within the time of the call
TOGETHER: Final = 0.02  # seconds in which questions that a server asks at once become one
PARKED_MOST: Final = 1000  # calls of one process
ASKABLE: Final = {"elicitation": "elicitation/create", "sampling": "sampling/createMessage", "roots": "roots/list"}
ASKING: Final = frozenset({"tools/call", "prompts/get", "resources/read"})  # may be answered with a question (SEP-2322)
STATE: Final = "requestState"
RESPONSES: Final = "inputResponses"
NOT_NOW: Final = b'{"code":-32603,"message":"The client cannot be asked now."}'
NO_SUCH_METHOD: Final = b'{"code":-32601,"message":"not available here"}'
NAME: Final = (
    "dev.ostiary/question"  # in `_meta` of a question: its name, which servers of before cannot give otherwise
)
DECLINED: Final = b'{"action":"decline"}'

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,63}")

_encode: Final = msgspec.json.Encoder().encode


@lru_cache(maxsize=256)
def askable(capabilities: bytes) -> bytes:
    """Of what a modern client declared, what a legacy server may ask of it; empty when it is nothing."""
    declared = members(capabilities)
    kept: dict[str, msgspec.Raw] = {name: declared[name] for name in ASKABLE if name in declared}
    return joined(kept) if kept else b""


@dataclass(eq=False)
class Parked:
    """One call that asks: the Downstream of its conversation, whoever listens at the time."""

    down: Downstream | None
    first: Downstream  # who began it, and knows what its server may ask
    methods: frozenset[str]  # that the client may be asked
    principal: Principal | None  # the only one whose answers count
    server: str
    task: asyncio.Task[Answer] = field(init=False)
    keeper: asyncio.Task[None] | None = None
    open: dict[str, tuple[str, bytes, asyncio.Future[bytes]]] = field(default_factory=dict)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    early: dict[str, bytes] = field(default_factory=dict)  # what the client said before it was asked
    full: bool = False
    credential: Credential | None = None  # what it began with
    forsaken: bool = False
    keys: set[str] = field(default_factory=set)

    @property
    def account(self) -> str:
        return account_of(self.credential)

    def forsake(self) -> None:
        """Nobody goes on with it; its server is told."""
        self.forsaken = True
        self.task.cancel()

    async def notify(self, method: str, params: bytes) -> None:
        if self.down is not None:
            await self.down.notify(method, params)

    def refuses(self, method: str, params: bytes) -> str:
        return self.first.refuses(method, params)

    async def request(self, method: str, params: bytes) -> bytes:
        """The answer to a question. A client may have given it with its call, if the server names its questions."""
        if self.refuses(method, params):
            return unanswered(method)
        name, params = named(unrelated(params))
        key = self._key(name)
        if key in self.early:
            return self.early.pop(key)
        if self.full or method not in self.methods:
            raise AskRefused(NOT_NOW)
        said: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.open[key] = (method, params, said)
        self.asked.set()
        try:
            return await said
        finally:
            self.open.pop(key, None)

    def _key(self, name: str) -> str:
        """Never twice in one call, so that no answer is taken for another."""
        key = name if _NAME.fullmatch(name) and name not in self.keys else f"q{len(self.keys) + 1}"
        while key in self.keys:
            key += "-"
        self.keys.add(key)
        return key

    def take(self, said: bytes) -> None:
        """Gives each open question its answer, if there is one; the others are asked again."""
        self.asked.clear()
        answers = answers_in(said)
        for key, (_, _, future) in list(self.open.items()):
            if key in answers and not future.done():
                self.open.pop(key)
                future.set_result(answers[key])
        if self.open:
            self.asked.set()

    def question(self, state: str) -> Answer:
        """All that is open, as a modern client is asked."""
        result = {"resultType": "input_required", "inputRequests": msgspec.Raw(self.requests()), STATE: state}
        return Answer(result=_encode(result))

    def requests(self) -> bytes:
        """All that is open, by key."""
        return _encode(
            {key: {"method": method, "params": msgspec.Raw(params)} for key, (method, params, _) in self.open.items()}
        )


def account_of(credential: Credential | None) -> str:
    """What a credential has in common with the next one of the same account."""
    return "" if credential is None else credential.account


def answers_in(said: bytes) -> dict[str, bytes]:
    """The answers in `inputResponses`, by their keys; what is no object answers nothing."""
    try:
        found = members(said) if said else {}
    except UpstreamBroken:
        return {}
    return {key: bytes(raw) for key, raw in found.items() if bytes(raw).startswith(b"{")}


def named(params: bytes) -> tuple[str, bytes]:
    """What a server calls its question, if it does, and the question without that and without what is gone since."""
    if b"elicitationId" not in params and NAME.encode() not in params:
        return "", params
    parts = members(params)
    parts.pop("elicitationId", None)
    meta = members(parts.get("_meta", msgspec.Raw(b"{}")))
    try:
        name = msgspec.json.decode(meta.pop(NAME, msgspec.Raw(b'""')))
    except msgspec.DecodeError:
        name = ""
    if meta:
        parts["_meta"] = msgspec.Raw(joined(meta))
    else:
        parts.pop("_meta", None)
    return name if isinstance(name, str) else "", joined(parts)


def unanswered(method: str) -> bytes:
    """What a server gets instead of an answer: a person would say no; for what only software answers there is no no."""
    if method == ASKABLE["elicitation"]:
        return DECLINED
    raise AskRefused(NO_SUCH_METHOD)


def name_for(principal: Principal | None, state: str) -> str:
    """Under which name a call is parked: nobody else comes to it, whatever state he brings (T-55)."""
    actor = principal.actor if principal is not None else None
    who = [(one.issuer, one.subject) for one in (principal, actor) if one is not None]
    return sha256(_encode([state, who])).hexdigest()[:32]
