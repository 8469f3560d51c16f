"""Clients that an administrator registers, and agents, which are clients and principals at once."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from authz.clients import redirects
from authz.clients.agents import agent_called
from authz.clients.known import TOKEN_EXCHANGE, Origin, new_secret
from authz.errors import AccountRefused
from authz.grammar import check_handle
from authz.tables import Client

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlmodel import Session


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """The public keys of a client that proves itself with a signature (`private_key_jwt`), or where they are."""

    jwks: dict[str, Any] | None = None
    uri: str = ""


def add_agent(session: Session, handle: str, *, name: str = "", keys: Keys | None = None) -> tuple[Client, str]:
    """An agent, `agent:{handle}` in policy, and its secret, which is not kept and not shown again.

    With `keys` it has no secret: it signs (RFC 7523 section 2.2).
    """
    check_handle(handle)
    if agent_called(session, handle) is not None:
        raise AccountRefused(f"an agent is called {handle!r} already; choose another name")
    secret, secret_hash = new_secret() if keys is None else ("", "")
    agent = Client(
        id=f"agt_{secrets.token_hex(16)}",
        handle=handle,
        name=name or handle,
        origin=Origin.AGENT,
        grant_types=["client_credentials", TOKEN_EXCHANGE],
        auth_method="client_secret_basic" if keys is None else "private_key_jwt",
        secret_hash=secret_hash,
        keys=keys.jwks if keys else None,
        keys_uri=keys.uri if keys else "",
        created_at=time.time(),
    )
    session.add(agent)
    session.flush()
    return agent, secret


def let_exchange(session: Session, client: Client, external_ids: Sequence[str], *, allowed: bool) -> None:
    """Whether it may exchange tokens, and ID tokens for which of its names at identity providers (RFC 8693)."""
    if allowed and client.auth_method == "none":
        raise AccountRefused(f"{client.id} cannot prove who it is, so nothing is exchanged for it")
    others = [grant for grant in client.grant_types if grant != TOKEN_EXCHANGE]
    client.grant_types = [*others, TOKEN_EXCHANGE] if allowed else others
    client.external_client_ids = list(external_ids) if allowed else []
    session.add(client)


def renew_secret(session: Session, client: Client) -> str:
    """A new secret for a client that has one; it is not kept and not shown again."""
    if not client.secret_hash:
        raise AccountRefused(f"{client.id} has no secret: it is public, or it signs")
    secret, client.secret_hash = new_secret()
    session.add(client)
    return secret


def add_client(
    session: Session,
    name: str,
    redirect_uris: Sequence[str],
    *,
    confidential: bool = False,
    keys: Keys | None = None,
    also: Sequence[str] = (),
) -> tuple[Client, str]:
    """A client that people use; with a secret (else empty) if it runs on a server that can keep one.

    `also` are grants besides the code flow; a client that has one of them needs no redirect URI.
    """
    web = confidential and not any(redirects.is_loopback(uri) for uri in redirect_uris)
    if redirect_uris or not also:
        _check_redirects(redirect_uris, web=web)
    secret, secret_hash = new_secret() if confidential and keys is None else ("", "")
    client = Client(
        id=f"cli_{secrets.token_hex(16)}",
        name=name,
        origin=Origin.REGISTERED,
        redirect_uris=list(redirect_uris),
        grant_types=[*(["authorization_code"] if redirect_uris else []), "refresh_token", *also],
        auth_method="private_key_jwt" if keys else "client_secret_basic" if confidential else "none",
        keys=keys.jwks if keys else None,
        keys_uri=keys.uri if keys else "",
        application_type="web" if web else "native",
        secret_hash=secret_hash,
        created_at=time.time(),
    )
    session.add(client)
    session.flush()
    return client, secret


def find_any(session: Session, key: str) -> Client:
    """By id, or `agent:{handle}`, or a handle that only an agent has."""
    found = session.get(Client, key) or agent_called(session, key.removeprefix("agent:"))
    if found is None:
        raise AccountRefused(f"there is no client {key!r}; `ostiary client list` shows those there are")
    return found


def _check_redirects(redirect_uris: Sequence[str], *, web: bool) -> None:
    if not redirect_uris:
        raise AccountRefused(
            "a client that people use needs a redirect URI (--redirect-uri), unless it is an --agent or a --device"
        )
    for uri in redirect_uris:
        problem = redirects.problem(uri, web=web)
        if problem:
            raise AccountRefused(f"the redirect URI {uri[:200]!r} {problem}")
