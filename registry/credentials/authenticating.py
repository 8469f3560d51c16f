"""How we authenticate to a server: which mode, what it needs to know, and the secrets that are ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlmodel import Session, select

from registry.credentials.connections import remove_all_at
from registry.credentials.modes import option_of, read_auth
from registry.credentials.modes.static import StaticSettings
from registry.credentials.placing import Placed, placed, split_header
from registry.errors import RegistryError, SecretRefused
from registry.tables import Auth, Server, ServerState, Transport

if TYPE_CHECKING:
    from collections.abc import Mapping

    from registry.catalogue import Credential
    from registry.credentials.modes.settings import AuthSettings
    from registry.secrets.vault import Vault


def owner(slug: str) -> str:
    """Whose secrets they are, in the vault."""
    return f"server:{slug}"


def set_auth(
    session: Session,
    server: Server,
    auth: Auth,
    settings: Mapping[str, Any],
    secrets: Mapping[str, bytes],
    vault: Vault,
) -> None:
    """How we authenticate from now on. What was kept for another mode goes, connections with it."""
    read = read_auth(auth, settings)
    _check_secrets(auth, read, secrets)
    if auth is Auth.AWS and server.auth != auth and not secrets:
        raise RegistryError("a server with --auth aws-sigv4 needs its secret access key: give --aws-secret-file")
    _check_place(server, read)
    before = read_auth(server.auth, server.auth_settings)
    if server.auth == auth:
        _check_kept_secret(before, read, secrets)
    if server.auth != auth or _kept_for(before) != _kept_for(read):
        vault.forget(session, owner(server.slug))
        remove_all_at(session, vault, server.slug)
    elif before.authority and _meant_for(before) != _meant_for(read):
        _forget_app_secret(session, server.slug, vault)
    server.auth, server.auth_settings = auth, dict(settings)
    session.add(server)
    for purpose, value in secrets.items():
        if isinstance(read, StaticSettings):
            _check_line(read, value)
        vault.seal(session, owner(server.slug), purpose, value)


def _kept_for(settings: AuthSettings) -> tuple[bool, str]:
    """What has to agree for what is kept to be of use still."""
    return settings.personal, settings.purpose if isinstance(settings, StaticSettings) else ""


def _meant_for(settings: AuthSettings) -> tuple[str, ...]:
    """Where an app's secret goes: what is written down has addresses, also where it has a name (ADR 33)."""
    return settings.authority, *(getattr(settings, name, "") for name in ("token_endpoint", "revocation_endpoint"))


def _check_secrets(auth: Auth, settings: AuthSettings, secrets: Mapping[str, bytes]) -> None:
    unknown = secrets.keys() - settings.secrets
    if unknown:
        raise RegistryError(f"--auth {auth} has no use for {', '.join(map(option_of, sorted(unknown)))}")
    if isinstance(settings, StaticSettings):
        _check_stored(settings, secrets)


def _check_stored(settings: StaticSettings, secrets: Mapping[str, bytes]) -> None:
    """The one that there is a place for; of each person's own, one to read with may be left out."""
    what = option_of(settings.purpose)
    if secrets.keys() - {settings.purpose}:
        raise RegistryError(
            f"--api-key goes with --query or --cookie, --header with neither: give {what}-file or {what}-env"
        )
    if not secrets and not settings.personal:
        raise RegistryError(
            f"a server with --auth static needs what is sent: from standard input, {what}-file or {what}-env; with "
            "--per person each person gives their own"
        )


def _check_line(settings: StaticSettings, value: bytes) -> None:
    """What we read a server of people's own lines with is a whole line."""
    if settings.in_place:
        placed(settings, value)
    else:
        split_header(value)


def _check_place(server: Server, settings: AuthSettings) -> None:
    """MCP, authorization, "Access Token Usage": never in the address. Of other APIs some know nothing else."""
    if isinstance(settings, StaticSettings) and settings.in_place and server.transport != Transport.OPENAPI:
        raise RegistryError(
            "--query and --cookie are for HTTP APIs (--openapi): a token in the address of an MCP server is against "
            "its protocol, for addresses are written down everywhere; give it as a header"
        )


def _check_kept_secret(before: AuthSettings, after: AuthSettings, secrets: Mapping[str, bytes]) -> None:
    """What is stored was given for one authorization server: whoever names another has to have it."""
    if not before.authority or _meant_for(after) == _meant_for(before) or "client_secret" in secrets:
        return
    if str(getattr(after, "client_auth", "")).startswith("client_secret"):
        first, then = _addresses(before), _addresses(after)
        raise RegistryError(
            f"the app's secret that is stored was given for {first}: give the one that is for {then}, with "
            "--client-secret-file or --client-secret-env"
        )


def _addresses(settings: AuthSettings) -> str:
    return " at ".join(dict.fromkeys(part for part in _meant_for(settings) if part))


def _forget_app_secret(session: Session, slug: str, vault: Vault) -> None:
    """Also where nothing uses it now: it would go to whom the next change names. A key is sent nowhere, and stays."""
    try:
        key = vault.open_secret(session, owner(slug), "client_key")
    except SecretRefused:
        key = b""
    vault.forget(session, owner(slug))
    if key:
        vault.seal(session, owner(slug), "client_key", key)


def load_credentials(session: Session, vault: Vault) -> dict[str, Credential]:
    """The opened ones that are a constant of their server and everybody's, by slug.

    One that does not open is left out: without it nothing is sent (T-92).
    """
    servers = session.exec(select(Server).where(Server.auth == Auth.STATIC, Server.state != ServerState.RETIRED))
    shared = (server for server in servers if not read_auth(server.auth, server.auth_settings).personal)
    found = (credential(session, server, vault) for server in shared)
    return {one.server: one for one in found if one is not None}


def credential(session: Session, server: Server, vault: Vault) -> Credential | None:
    """What we authenticate with at `server`, or read it with where each person has their own; None if there is
    nothing, or it was tampered with.
    """
    settings = read_auth(Auth.STATIC, server.auth_settings)
    assert isinstance(settings, StaticSettings)
    try:
        value = vault.open_secret(session, owner(server.slug), settings.purpose)
    except SecretRefused:
        return None
    made = placed(settings, value) if settings.in_place else Placed(*split_header(value))
    return made.credential(server.slug, server.url)
