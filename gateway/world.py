"""The concrete objects of one process, and the snapshot that its calls are judged by.

`assembly.py` builds a `World`; everything else is handed one, or the part of it that it needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from authz.cutoffs import CutOffs
    from authz.keys import KeySet
    from authz.policy import Policy
    from authz.principals import Member
    from authz.tokens import TokenVerifier
    from gateway.fetch import Fetcher
    from gateway.journal import Journal
    from gateway.office import Office
    from gateway.rendezvous import Rendezvous
    from gateway.settings import Settings
    from gateway.snapshots import Snapshots
    from gateway.telemetry import Telemetry
    from gateway.upstream import Upstreams
    from registry.catalog import Catalogue, Credential


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """All that a call is judged by, immutable, swapped whole when an epoch moves.

    `members` is by id (the `sub` of a token) and holds only people and agents that are enabled; `clients` are the ids
    of the enabled OAuth clients; `credentials` are the opened ones by server slug.
    """

    epoch: int
    catalogue: Catalogue
    policy: Policy
    keys: KeySet
    cutoffs: CutOffs
    members: Mapping[str, Member]
    clients: frozenset[str]
    credentials: Mapping[str, Credential]


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """One process. `snapshots.current` is the snapshot; read it once per call and pass it on."""

    office: Office
    snapshots: Snapshots
    rendezvous: Rendezvous
    verifier: TokenVerifier
    upstreams: Upstreams
    fetcher: Fetcher
    telemetry: Telemetry

    @property
    def settings(self) -> Settings:
        return self.office.settings

    @property
    def journal(self) -> Journal:
        return self.office.journal
