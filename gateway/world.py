"""The concrete objects of one process.

`assembly.py` builds a `World`; everything else is handed one, or the part of it that it needs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.journal.index import Progress

if TYPE_CHECKING:
    from authz.tokens.access import TokenVerifier
    from gateway.credentials.holding import Credentials
    from gateway.fetch import Fetcher
    from gateway.identity.providers import Providers
    from gateway.journal import Journal
    from gateway.oauth.evidence.keysets import KeySets
    from gateway.office import Office
    from gateway.operating.telemetry import Telemetry
    from gateway.portal.calls.underway import Underway
    from gateway.rendezvous import Rendezvous
    from gateway.settings import Settings
    from gateway.snapshots import Snapshots
    from gateway.upstream.upstreams import Upstreams


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """One process. `snapshots.current` is the snapshot; read it once per call and pass it on."""

    office: Office
    snapshots: Snapshots
    rendezvous: Rendezvous
    verifier: TokenVerifier
    upstreams: Upstreams
    credentials: Credentials
    fetcher: Fetcher
    providers: Providers
    keysets: KeySets
    underway: Underway
    telemetry: Telemetry
    index: Progress = field(default_factory=Progress)  # of the index of what this process writes to the journal

    @property
    def settings(self) -> Settings:
        return self.office.settings

    @property
    def journal(self) -> Journal:
        return self.office.journal
