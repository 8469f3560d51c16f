"""The control plane's objects: what a command or a page needs to change something, and to have it on record."""

from __future__ import annotations

import getpass
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gateway.notices import tell_of_change

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlmodel import Session

    from gateway.journal import Journal
    from gateway.settings import Settings
    from registry.database import Concern, Database
    from registry.secrets.vault import Vault


@dataclass(frozen=True, slots=True, kw_only=True)
class Office:
    """Settings, database, vault and journal; shared by pages, OAuth endpoints and commands, in threads."""

    settings: Settings
    database: Database
    vault: Vault
    journal: Journal

    @contextmanager
    def change(
        self, event: str, *concerns: Concern, who: str, **facts: Any
    ) -> Iterator[tuple[Session, dict[str, Any]]]:
        """One transaction that is on record before it counts: if the journal cannot be written, nothing changes.

        Yields the session and the facts of the record, to which the block may add.
        """
        with self.database.change(*concerns) as session:
            yield session, facts
            tell_of_change(session, self.settings.webhook_url, event, facts)
            session.flush()
            self.journal.note(event, who=who, **facts)

    def close(self) -> None:
        self.journal.close()
        self.database.close()


def operator() -> str:
    """Who is at the command line, for the record."""
    return f"operator:{getpass.getuser()}"
