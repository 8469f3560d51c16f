"""What a source is handed: the office, the guarded way out, and the identity providers of people."""

from __future__ import annotations

import time
from threading import Lock
from typing import TYPE_CHECKING

from gateway.credentials.oauth.discovery import Discovery
from gateway.fetch import Fetcher
from gateway.identity.providers import Providers
from registry.servers import exception_lines
from registry.tls import own_authorities

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.office import Office


class Equipment:
    """Safe to share between threads."""

    def __init__(
        self, office: Office, providers: Providers | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self.office = office
        self.providers = Providers(office) if providers is None else providers
        self.clock = clock
        self.discovery = Discovery()
        self._ways: tuple[tuple[tuple[str, ...], dict[str, str]], Fetcher] | None = None
        self._lock = Lock()

    @property
    def fetcher(self) -> Fetcher:
        """The way out to authorization servers: to public addresses, and to what the operator excepted.

        Where a server has authorities of its own, they are what is trusted at its origin here too.
        """
        with self.office.database.read() as session:
            lines = (*self.office.settings.allow_addresses, *exception_lines(session))
            own = own_authorities(session)
        with self._lock:
            if self._ways is None or self._ways[0] != (lines, own):
                self._ways = ((lines, own), Fetcher(lines, own=own))
            return self._ways[1]
