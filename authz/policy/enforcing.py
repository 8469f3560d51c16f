"""Casbin, behind one question: does any of these lines allow it, and none deny it?

pycasbin 2.8 scans its policy line by line and parses the matcher for each question. Both are kept small from outside:
the rulebook hands over the few lines that can matter, and the parsed matcher is kept.
"""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import casbin

from authz.assurance import UNSURE, Context
from authz.errors import PolicyBroken

if TYPE_CHECKING:
    from collections.abc import Sequence

MODEL = Path(__file__).with_name("model.conf")
ALLOW = "allow"
DENY = "deny"
NOTHING = Context(b"", UNSURE, 0)


class Condition(Protocol):
    """Typed data that a line may depend on."""

    def holds(self, context: Context) -> bool: ...


class Unknown(NamedTuple):
    """A condition that this version does not know: an allow never holds then, a deny always does."""

    answer: bool

    def holds(self, _context: Context) -> bool:
        return self.answer


class Line(NamedTuple):
    """Casbin's `p`, in the order of model.conf."""

    sub: str
    dom: str
    obj: str
    act: str
    eft: str
    cond: Condition | None
    id: str


class Question(NamedTuple):
    """Casbin's `r`, in the order of model.conf."""

    subs: frozenset[str]
    dom: str
    obj: str
    all: str
    act: str
    ctx: Context


class Enforcer:
    """Safe to share between threads; what a thread asks is answered by the lines that it brings."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._casbin = _Casbin(str(MODEL))
        self._casbin.add_function("among", _among)
        self._casbin.add_function("holds", _holds)
        self._probe()

    def ask(self, lines: Sequence[Line], question: Question) -> tuple[bool, str]:
        """Whether it is allowed, and the id of the rule that decided (empty when none matched).

        An allow counts only with the allowing line to show for it, so that a switched-off Casbin allows nothing.
        """
        with self._lock:  # Casbin keeps lines and the names of the question in itself while it evaluates
            self._casbin.model["p"]["p"].policy = lines
            allowed, decisive = self._casbin.enforce_ex(*question)
        if not decisive:
            return False, ""
        line = Line(*decisive)
        return allowed is True and line.eft == ALLOW, line.id

    def _probe(self) -> None:
        """Ask what must be allowed and what must not; refuse to exist when an answer is wrong (T-40)."""
        lines = [_line(sub="user:a"), _line(sub="user:b"), _line(sub="user:b", eft=DENY), _line(dom="other")]
        asked = {who: self._bare(lines, frozenset({who})) for who in ("user:a", "user:b", "user:c", "user:d")}
        if asked != {"user:a": True, "user:b": False, "user:c": False, "user:d": False}:
            raise PolicyBroken(
                "the policy engine answers its own test questions wrongly: reinstall the locked versions"
            )

    def _bare(self, lines: Sequence[Line], subjects: frozenset[str]) -> bool:
        """Casbin's own word, without our second look at it."""
        with self._lock:
            self._casbin.model["p"]["p"].policy = lines
            return bool(self._casbin.enforce_ex(subjects, "portal", "probe.tool", "probe.*", "call", NOTHING)[0])


class _Casbin(casbin.Enforcer):  # type: ignore[misc]  # pycasbin is untyped
    """Casbin with its matcher parsed once."""

    _parsed: Any = None

    def _get_expression(self, expr: str, functions: Any = None) -> Any:
        if self._parsed is None:
            self._parsed = casbin.Enforcer._get_expression(expr, functions)  # noqa: SLF001  # an override of it
        return self._parsed


def _line(*, sub: str = "user:c", dom: str = "portal", eft: str = ALLOW) -> Line:
    return Line(sub, dom, "probe.*", "call", eft, None, "probe")


def _among(subject: str, subjects: frozenset[str]) -> bool:
    return subject in subjects


def _holds(condition: Condition | None, context: Context) -> bool:
    return condition is None or condition.holds(context)
