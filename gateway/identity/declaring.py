"""At each start, what the operator's file says of identity providers becomes what is stored."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from sqlmodel import col, select

from authz.errors import AccountRefused
from authz.people.accounts import add_group
from authz.people.providers import add_mapping, mappings, remove, remove_mapping
from authz.tables import Group, Provider
from gateway.identity.declared import read_secret
from gateway.identity.equipment import owner_of
from gateway.identity.registering import Described, register, storable, stored_secrets
from gateway.journal import GATEWAY
from gateway.settings.loading import ConfigurationError
from idp_adapters.config import ConfigRefused
from registry.database import Concern

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlmodel import Session

    from gateway.identity.declared import DeclaredProvider
    from gateway.office import Office


def declare(office: Office) -> None:
    """Stores what the file says, and forgets what it says no more. Raises ConfigurationError."""
    declared = office.settings.identity_providers
    _drop(office, {one.slug for one in declared})
    try:
        for one in declared:
            _take_up(office, one)
    except (AccountRefused, ConfigRefused) as refused:
        raise ConfigurationError([f"identity_providers: {refused}"]) from refused


def _take_up(office: Office, one: DeclaredProvider) -> None:
    secrets = {purpose: read_secret(one, purpose)[0] for purpose in one.references()}
    described = Described(
        slug=one.slug, kind=one.kind, config=one.config(), title=one.title, domains=one.domains, secrets=secrets
    )
    if not _as_stored(office, one, storable(one.read()), secrets):
        register(office, described, who=GATEWAY, declared=True)
    _map(office, one)


def _as_stored(office: Office, one: DeclaredProvider, config: dict[str, Any], secrets: dict[str, bytes]) -> bool:
    """Whether nothing has changed since the last start: then there is nothing to do, and nothing to record."""
    with office.database.read() as session:
        row = session.get(Provider, one.slug)
        if row is None or not row.declared or not secrets.keys() <= stored_secrets(session, one.slug):
            return False
        same = all(
            office.vault.open_secret(session, owner_of(one.slug), purpose) == secret
            for purpose, secret in secrets.items()
        )
    said = (one.kind, one.title, sorted(domain.lower() for domain in one.domains), config)
    return same and said == (row.kind, row.title, row.domains, row.config)


def _map(office: Office, one: DeclaredProvider) -> None:
    """Exactly the mappings of the file; their groups come to be with them."""
    wanted = {(mapping.claim, mapping.value, mapping.group) for mapping in one.mappings}
    with office.database.read() as session:
        there = {(row.claim, row.value, row.group) for row in mappings(session, one.slug)}
    for event, keys in (("idp.unmapped", there - wanted), ("idp.mapped", wanted - there)):
        for claim, value, group in sorted(keys):
            facts = {"provider": one.slug, "claim": claim, "value": value, "group": f"group:{group}"}
            with office.change(event, Concern.PEOPLE, who=GATEWAY, **facts) as (session, _):
                if event == "idp.unmapped":
                    remove_mapping(session, one.slug, claim, value, group)
                    continue
                if session.get(Group, group) is None:
                    add_group(session, group)
                add_mapping(session, one.slug, claim, value, group)


def _drop(office: Office, kept: set[str]) -> None:
    with office.database.read() as session:
        gone = [row.slug for row in _declared(session) if row.slug not in kept]
    for slug in gone:
        removing = office.change("idp.removed", Concern.PEOPLE, Concern.CUTOFFS, who=GATEWAY, provider=slug)
        with removing as (session, facts):
            row = next(row for row in _declared(session) if row.slug == slug)
            facts["people"] = remove(session, row, time.time())
            office.vault.forget(session, owner_of(slug))


def _declared(session: Session) -> Sequence[Provider]:
    return session.exec(select(Provider).where(col(Provider.declared).is_(True))).all()
