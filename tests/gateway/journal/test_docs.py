from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
WRITES = re.compile(
    r'(?:\bchange|\bnote|_respond|_each|tail\.add)\(\s*(?:[\w.]+,\s*)?\{?(?:"event": )?"([a-z]+(?:\.[a-z_]+)?)"'
)


def test_every_event_that_is_written_is_documented() -> None:
    text = (ROOT / "docs/journal.md").read_text()
    written = {event for path in ROOT.glob("gateway/**/*.py") for event in WRITES.findall(path.read_text())}
    assert {"signin", "list", "policy.changed", "call.refused", "consent.denied", "journal.torn"} <= written
    assert not [event for event in written if f"`{event}`" not in text]
