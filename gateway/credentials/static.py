"""`static`: what never changes by itself, one for all or one that each person gave."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from gateway.credentials import CredentialTampered, CredentialUnavailable, Held
from gateway.credentials.connections.accounts import ELSEWHERE, account, give_up, needed, tampered
from registry.addresses import exception_line
from registry.credentials import connections
from registry.credentials.authenticating import credential, owner
from registry.credentials.modes.static import StaticSettings
from registry.credentials.placing import placed
from registry.errors import RegistryError, SecretRefused
from registry.servers import find
from registry.tables import Secret

if TYPE_CHECKING:
    from gateway.credentials import Asked
    from gateway.credentials.equipment import Equipment
    from registry.catalogue import Credential

REFUSED = "the server does not accept what you gave for it; give what it accepts now"


class Static:
    """The source of what is kept as it was given."""

    def __init__(self, equipment: Equipment) -> None:
        self._equipment = equipment

    def obtain(self, asked: Asked) -> Held:
        settings = asked.upstream.auth_settings
        if isinstance(settings, StaticSettings) and settings.personal:
            found = self._given(asked, settings)
        else:
            found = self._stored(asked)
        return Held(credential=found, renew_at=math.inf)

    def _stored(self, asked: Asked) -> Credential:
        slug, office = asked.upstream.slug, self._equipment.office
        with office.database.read() as session:
            found = credential(session, find(session, slug), office.vault)
        if found is None:
            raise CredentialTampered(f"the credential for {slug} cannot be used; set it again")
        if asked.instead_of is not None and asked.instead_of.value == found.value:
            raise CredentialUnavailable(
                f"{slug} does not accept the credential that is stored for it; an administrator has to replace it"
            )
        return found

    def _reading(self, asked: Asked, settings: StaticSettings) -> Credential:
        """What the gateway itself reads such a server with; no call of anybody uses it."""
        slug, office = asked.upstream.slug, self._equipment.office
        with office.database.read() as session:
            if session.get(Secret, (owner(slug), settings.purpose)) is None:
                raise needed(asked.upstream, "")
        return self._stored(asked)

    def _given(self, asked: Asked, settings: StaticSettings) -> Credential:
        upstream, office = asked.upstream, self._equipment.office
        if asked.principal is None:
            return self._reading(asked, settings)
        row = account(self._equipment, upstream, asked.subject)
        try:
            with office.database.read() as session:
                given = connections.given_of(session, office.vault, row)
                made = placed(settings, given.value)
        except SecretRefused as refused:
            raise tampered(self._equipment, upstream, row) from refused
        except RegistryError as refused:  # the server wants another header since
            raise needed(upstream, asked.subject, str(refused)) from refused
        if exception_line(given.audience) != exception_line(upstream.url):  # T-49
            raise give_up(self._equipment, upstream, row, ELSEWHERE)
        if asked.instead_of is not None and asked.instead_of.value == made.value:
            raise give_up(self._equipment, upstream, row, REFUSED)
        return made.credential(upstream.slug, upstream.url, subject=asked.subject, account=row.account)
