"""Taking a provider up: its configuration is read strictly, its secrets are sealed, both or neither are stored."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlmodel import select

from authz.people import providers
from gateway.identity.equipment import owner_of
from idp_adapters.config import ConfigRefused, kind_called, read_config
from registry.database import Concern
from registry.tables import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlmodel import Session

    from gateway.office import Office
    from idp_adapters.common import ProviderConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """A provider as an operator describes it. `secrets` are by purpose."""

    slug: str
    kind: str
    config: Mapping[str, Any]
    title: str = ""
    domains: tuple[str, ...] = ()
    secrets: Mapping[str, bytes] = field(default_factory=dict, repr=False)


def register(office: Office, described: Described, *, who: str, declared: bool = False) -> None:
    """Stores it, new or in place of what was there. Raises ConfigRefused or AccountRefused, and then stores nothing."""
    config = read_config(described.kind, described.config)
    facts = {"provider": described.slug, "kind": described.kind, "secrets": sorted(described.secrets)}
    with office.change("idp.added", Concern.PEOPLE, who=who, **facts) as (session, noted):
        providers.put(
            session, described.slug, described.kind, storable(config),
            title=described.title, domains=described.domains, declared=declared, now=time.time(),
        )  # fmt: skip
        session.flush()
        made = _seal(session, office, described, config)
        noted["secrets"] = sorted({*described.secrets, *made})


def storable(config: ProviderConfig) -> dict[str, Any]:
    """What was said and nothing else, so that better defaults of a later version count; paths from the root."""
    said = config.model_dump(mode="json", exclude_unset=True)
    paths = {name: value for name in said if isinstance(value := getattr(config, name), Path)}
    return said | {name: str(path.resolve()) for name, path in paths.items()}


def stored_secrets(session: Session, slug: str) -> set[str]:
    """Their purposes."""
    return set(session.exec(select(Secret.purpose).where(Secret.owner == owner_of(slug))))


def _seal(session: Session, office: Office, described: Described, config: ProviderConfig) -> frozenset[str]:
    """Seals what was given and makes what can be made; what is then still missing is named."""
    kind, owner = kind_called(described.kind), owner_of(described.slug)
    for purpose, secret in described.secrets.items():
        if purpose not in kind.secrets:
            raise ConfigRefused([f"{purpose}: {described.kind} has no such secret"])
        office.vault.seal(session, owner, purpose, secret)
    session.flush()
    missing = config.needs() - stored_secrets(session, described.slug)
    for purpose in sorted(missing & kind.makes.keys()):
        office.vault.seal(session, owner, purpose, _made(kind.makes[purpose], described.slug))
    lacking = sorted(missing - kind.makes.keys())
    if lacking:
        raise ConfigRefused([f"{purpose}: is missing ({kind.secrets[purpose]})" for purpose in lacking])
    return missing & kind.makes.keys()


def _made(maker: str, slug: str) -> bytes:
    module, _, name = maker.partition(":")
    made: bytes = getattr(import_module(module), name)(slug)
    return made
