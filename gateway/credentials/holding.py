"""The credentials that one process has at hand, and the way to those that it has not."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.credentials import Asked, CredentialTampered
from gateway.running import as_task
from registry.authenticating import credential
from registry.servers import find
from registry.tables import Auth

if TYPE_CHECKING:
    from authz.principals import Principal
    from gateway.office import Office
    from gateway.snapshots import Snapshot
    from registry.catalog import Credential, Upstream


class Credentials:
    """Everything is used on one event loop, except `obtain_now`, which is for threads."""

    def __init__(self, office: Office) -> None:
        self._office = office

    def at_hand(
        self,
        snapshot: Snapshot,
        upstream: Upstream,
        principal: Principal | None,  # noqa: ARG002
        object_: str = "",  # noqa: ARG002
    ) -> Credential | None:
        """What can be used without asking anybody. Asks neither the database nor anything else."""
        return snapshot.credentials.get(upstream.slug)

    async def obtain(self, upstream: Upstream, principal: Principal | None, object_: str = "") -> Credential | None:
        """What `at_hand` has not. None for a server that wants none. Raises CredentialUnavailable."""
        if upstream.auth is Auth.NONE:
            return None
        await as_task()
        return await asyncio.to_thread(self.obtain_now, Asked(upstream=upstream, principal=principal, object=object_))

    def obtain_now(self, asked: Asked) -> Credential | None:
        """The same for whoever is in a thread already: commands and refreshing."""
        if asked.upstream.auth is Auth.NONE:
            return None
        with self._office.database.read() as session:
            found = credential(session, find(session, asked.upstream.slug), self._office.vault)
        if found is None:
            raise CredentialTampered(f"the credential for {asked.upstream.slug} cannot be used; set it again")
        return found
