"""How we authenticate to a server: which mode, what it needs to know, and the secrets that are ours."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sqlmodel import Session, select

from registry.addresses import exception_line
from registry.catalogue import Credential
from registry.credentials.auth_modes import option_of, read_auth
from registry.credentials.connections import remove_all_at
from registry.errors import RegistryError, SecretRefused
from registry.tables import Auth, Server, ServerState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from registry.credentials.auth_modes import AuthSettings
    from registry.secrets.vault import Vault

HEADER = "header"
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}):[ \t]*([\x21-\x7e](?:[\x20-\x7e\t]{0,8190}[\x21-\x7e])?)")
NOT_OURS_TO_SET = frozenset(
    {b"host", b"content-length", b"content-type", b"content-encoding", b"transfer-encoding", b"connection", b"accept"}
    | {b"te", b"trailer", b"upgrade", b"expect", b"accept-encoding", b"keep-alive", b"proxy-connection"}
)


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
    if server.auth != auth or read_auth(server.auth, server.auth_settings).personal != read.personal:
        vault.forget(session, owner(server.slug))
        remove_all_at(session, vault, server.slug)
    server.auth, server.auth_settings = auth, dict(settings)
    session.add(server)
    for purpose, value in secrets.items():
        if purpose == HEADER:
            split_header(value)
        vault.seal(session, owner(server.slug), purpose, value)


def _check_secrets(auth: Auth, settings: AuthSettings, secrets: Mapping[str, bytes]) -> None:
    unknown = secrets.keys() - settings.secrets
    if unknown:
        raise RegistryError(f"--auth {auth} has no use for {', '.join(map(option_of, sorted(unknown)))}")
    if auth is Auth.STATIC and not settings.personal and not secrets:
        raise RegistryError(
            "a server with --auth static needs its header line: from standard input, --header-file or --header-env; "
            "with --per person each person gives their own"
        )


def split_header(line: bytes) -> tuple[bytes, bytes]:
    """Name and value of a header line that a server may be authenticated with."""
    parts = _HEADER.fullmatch(line.strip())
    if parts is None:
        raise RegistryError("the credential must be one header line, for instance `Authorization: Bearer ...`")
    name = parts[1].lower()
    if name in NOT_OURS_TO_SET or name.startswith(b"mcp-"):
        raise RegistryError(f"the header {name.decode()} belongs to the transport and can be no credential")
    return name, parts[2]


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
    try:
        name, value = split_header(vault.open_secret(session, owner(server.slug), HEADER))
    except SecretRefused:
        return None
    return Credential(server=server.slug, origin=exception_line(server.url), header=name, value=value)
