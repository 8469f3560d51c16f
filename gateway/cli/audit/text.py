"""Records as lines for people; nothing in them can move the cursor or colour the screen."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

_HEAD = ("seq", "at", "event", "who", "object", "server", "outcome", "hash")
_QUIET = (
    "subject",
    "client",
    "epoch",
    "request",
    "arguments_hmac",
    "mark",
    "era",
    "open",
)


def line_text(line: bytes | str) -> str:
    """When, what, who, which and how it ended, then the rest."""
    try:
        record = json.loads(line)
    except ValueError:
        return f"(not a record: {len(line)} bytes)"
    head = (visible(record[key]) for key in _HEAD[2:-1] if record.get(key) and not _is_said(key, record))
    rest = (
        f"{visible(key)}={told(key, value)}" for key, value in record.items() if key not in _HEAD + _QUIET and value
    )
    return "  ".join((_clock(record.get("at")), *head, *rest))


def _is_said(key: str, record: dict[str, Any]) -> bool:
    """The name of a thing begins with its server's."""
    return key == "server" and bool(record.get("object"))


def told(key: str, value: Any) -> str:
    """Moments as people read them; --json has the number."""
    if key == "at":
        return _clock(value)
    moment = _moment(value) if key.endswith("_at") or key == "before" else None
    return visible(value) if moment is None else moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def visible(value: Any) -> str:
    """One line; what is not printable is shown as its escape (threat M-67)."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _clock(at: Any) -> str:
    moment = _moment(at)
    return "(no time)" if moment is None else moment.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def _moment(at: Any) -> datetime | None:
    if not isinstance(at, (int, float)):
        return None
    try:
        return datetime.fromtimestamp(at, UTC)
    except (ValueError, OverflowError, OSError):  # no clock ever said so
        return None
