"""What a row of a backup becomes when it is put back: nothing that was ended since the backup comes back to life.

Nobody can know what was ended since. So what somebody holds here is not in a backup at all (`backup.PASSING`), and what
is in it for the record, accounts at servers and delegations, has to be begun anew by its person.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from registry.credentials.connection_states import ALIVE
from registry.tables import ConnectionState

if TYPE_CHECKING:
    from collections import Counter

WHY: Final = "the gateway was restored from a backup, which cannot know whether it was ended since; connect it again"


def revived(table: str, row: dict[str, Any], now: float, ended: Counter[str], *, move: bool) -> None:
    """Changes `row`; `ended` counts what has to be begun anew, by table. In a `move` nothing was ended meanwhile."""
    if table == "epoch":
        row["value"] += 1  # whoever still runs on the old one sees that something moved
    elif table == "segment":
        row |= {"indexed": 0, "indexed_seq": 0}  # the index is made anew from the files
    elif move:
        return
    elif table == "connection" and row["state"] in ALIVE:
        row |= {"state": ConnectionState.NEEDS_RECONNECT, "why": WHY, "changed_at": now, "refresh_at": None}
        ended[table] += 1
    elif table == "delegation" and row["ended_at"] is None and row["expires_at"] > now:
        row["ended_at"] = now
        ended[table] += 1
