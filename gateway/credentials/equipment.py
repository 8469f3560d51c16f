"""What a source is handed: the office, the guarded way out, and the identity providers of people."""

from __future__ import annotations

import time
from copy import copy
from threading import Lock
from typing import TYPE_CHECKING, Final, Self

from authz.tokens.keys import load_keys
from gateway.credentials import own_tls
from gateway.credentials.oauth.asking.nonces import Nonces
from gateway.credentials.oauth.crowd import Crowd
from gateway.credentials.oauth.finding.discovery import Discovery
from gateway.fetch import Fetcher
from gateway.identity.providers import Providers
from registry.addresses import exception_line
from registry.servers import exception_lines

if TYPE_CHECKING:
    from collections.abc import Callable

    from authz.tokens.keys import Key
    from gateway.fetch import Own
    from gateway.office import Office
    from registry.catalogue import Upstream

    Way = tuple[tuple[str, ...], tuple[tuple[str, str], ...]]

WAYS: Final = 256  # that are remembered


class Equipment:
    """Safe to share between threads."""

    def __init__(
        self, office: Office, providers: Providers | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self.office = office
        self.providers = Providers(office) if providers is None else providers
        self.clock = clock
        self.discovery = Discovery()
        self.crowd = Crowd()
        self.nonces = Nonces()
        self._home: str | None = None
        self._own: Own = {}
        self._ways: dict[Way, Fetcher] = {}
        self._lock = Lock()

    def toward(self, upstream: Upstream) -> Self:
        """The same, for what this server names: an exception that was made for another is none for it (T-44), and what
        TLS with another needs is nothing here.
        """
        view = copy(self)
        view._home = exception_line(upstream.url)  # noqa: SLF001 - of its own kind
        view._own = own_tls.of_server(self.office, upstream)  # noqa: SLF001
        return view

    def signer(self) -> Key:
        """The key that we sign with now, whether a token for others or who we are."""
        with self.office.database.read() as session:
            return load_keys(session, self.office.vault).signer(self.clock())

    @property
    def fetcher(self) -> Fetcher:
        """The way out to authorization servers: to public addresses, and to what the operator excepted.

        Where a server has authorities of its own, they are what is trusted at its origin here too; our certificate for
        it is shown there where we ask on its behalf (`toward`).
        """
        with self.office.database.read() as session:
            own = own_tls.of_all(session) if self._home is None else self._own
            made = (line for line in exception_lines(session) if self._home in {None, line})
            lines = (*self.office.settings.allow_addresses, *made)
        way = (lines, tuple(sorted((origin, digest) for origin, (digest, _) in own.items())))
        with self._lock:
            if way not in self._ways:
                if len(self._ways) >= WAYS:
                    self._ways.clear()
                self._ways[way] = Fetcher(lines, own=own)
            return self._ways[way]
