"""Whether what a server's registration names by a word is there, and can do what is wanted of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from authz.tables import Provider
from idp_adapters.config import KINDS, read_config
from idp_adapters.entra.config import EntraConfig
from registry.credentials.modes.id_jag import IdJagSettings
from registry.credentials.modes.on_behalf_of import OnBehalfOfSettings
from registry.errors import RegistryError

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlmodel import Session

    from gateway.credentials.platform import DeclaredToken
    from registry.credentials.modes.settings import AuthSettings


def check_named(session: Session, declared: Collection[DeclaredToken], settings: AuthSettings) -> None:
    """Raises RegistryError, better now than at somebody's first call. Nothing to check where nothing is named."""
    _check_provider(session, settings)
    name = getattr(settings, "workload", "")
    if name and name not in {one.name for one in declared}:
        raise RegistryError(
            f"--workload: the operator's file names no workload token {name[:80]!r}; see workload_tokens in "
            "docs/settings.md, and give this command the same --config as the gateway"
        )


def _check_provider(session: Session, settings: AuthSettings) -> None:
    slug = getattr(settings, "provider", "")
    if not slug:
        return
    row = session.get(Provider, slug)
    if row is None:
        raise RegistryError(f"--provider: there is no identity provider {slug[:80]!r}; `ostiary idp list` names them")
    if isinstance(settings, OnBehalfOfSettings):
        _check_stands_for_people(row)
    elif row.kind not in _vouching(settings):
        raise RegistryError(
            f"--provider: {slug} is of the kind {row.kind}, which gives nothing that this mode could use; "
            f"{' or '.join(_vouching(settings))} does"
        )


def _vouching(settings: AuthSettings) -> tuple[str, ...]:
    return ("oidc",) if isinstance(settings, IdJagSettings) else ("oidc", "entra")


def _check_stands_for_people(row: Provider) -> None:
    config = read_config(row.kind, row.config) if row.kind in KINDS else None
    if not isinstance(config, EntraConfig):
        raise RegistryError(f"--provider: {row.slug} is of the kind {row.kind}; on-behalf-of is Entra ID's")
    if not config.on_behalf:
        raise RegistryError(
            f"--provider: sign-ins at {row.slug} bring no token for our app yet: set its `on_behalf` (`ostiary idp add "
            f"entra {row.slug} ... --on-behalf`, or in the file), after which people sign in again"
        )
