"""Servers that are processes of ours: the operator's file makes them, and nothing else does.

Their command line is a definition like any other (of kind SERVER), so that it is shown, reviewed, pinned and compared
as they are: while it is not the one that was approved, nothing of the server exists for anybody.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from sqlmodel import Session, col, select

from registry.catalogue.naming import check_slug
from registry.errors import RegistryError, WrongState
from registry.screening import screen
from registry.servers import DEFAULT_ALLOWED, all_servers, resume, suspend
from registry.tables import Definition, Kind, Pin, Server, ServerState, Transport

if TYPE_CHECKING:
    from collections.abc import Collection

COMMAND: Final = "command"  # the name of the definition
SCHEME: Final = "stdio:"
GONE: Final = "the operator's file does not declare it any more"


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """`command` is what is reviewed: all that decides what is run, as JSON, without a secret."""

    slug: str
    title: str
    owner: str
    command: str


class News(StrEnum):
    """What the file says that was not known."""

    ADDED = "added"
    CHANGED = "changed"  # another command
    DECLARED = "declared"  # it is back, or is called something else


def news_of(session: Session, declaration: Declaration) -> News | None:
    """Raises RegistryError where the name belongs to something else."""
    server = session.get(Server, declaration.slug)
    if server is None:
        return News.ADDED
    if server.transport != Transport.STDIO or server.state == ServerState.RETIRED:
        was = "was retired" if server.state == ServerState.RETIRED else f"is a server at {server.url}"
        raise RegistryError(f"{declaration.slug} {was}, and a name stays with what had it; choose another")
    row = session.get(Definition, (declaration.slug, Kind.SERVER, COMMAND))
    if row is None or row.raw != declaration.command:
        return News.CHANGED
    words = (declaration.title or declaration.slug, declaration.owner)
    return News.DECLARED if words != (server.title, server.owner) or _is_gone(server) else None


def declare(session: Session, declaration: Declaration, *, who: str) -> None:
    """Stores what the file says, which `news_of` has looked at. What is new of its command awaits review."""
    server = session.get(Server, declaration.slug)
    if server is None:
        check_slug(declaration.slug, session.exec(select(Server.slug)))
        server = _proposed(declaration.slug, who)
    server.title, server.owner = declaration.title or declaration.slug, declaration.owner
    session.add(server)
    session.flush()
    _store(session, declaration)
    if _is_gone(server):
        resume(session, declaration.slug)


def undeclared(session: Session, declared: Collection[str]) -> list[str]:
    """Those that can be used, and that the file does not declare."""
    servers = [one for one in all_servers(session) if one.transport == Transport.STDIO and one.slug not in declared]
    return [one.slug for one in servers if one.state in {ServerState.APPROVED, ServerState.SUBMITTED}]


def drop(session: Session, slug: str) -> None:
    """Nothing of it exists for anybody until the file declares it again."""
    try:
        suspend(session, slug, GONE)
    except WrongState:  # it was never approved
        server = session.get_one(Server, slug)
        server.failing_since, server.failure = server.failing_since or time.time(), GONE
        session.add(server)


def approved_commands(session: Session) -> dict[str, str]:
    """By slug the digest of each command that is as it was approved."""
    same = (col(Definition.server) == Pin.server) & (col(Definition.digest) == Pin.digest)
    query = select(Pin.server, Pin.digest).join(Definition, same)
    query = query.where(Pin.kind == Kind.SERVER, Pin.name == COMMAND, Definition.kind == Kind.SERVER)
    return dict(session.exec(query.where(Definition.name == COMMAND)).all())


def _is_gone(server: Server) -> bool:
    return server.state == ServerState.SUSPENDED and server.suspended_because == GONE


def _proposed(slug: str, who: str) -> Server:
    return Server(
        slug=slug,
        url=SCHEME + slug,
        transport=Transport.STDIO,
        allowed=list(DEFAULT_ALLOWED),
        proposed_by=who,
        proposed_at=time.time(),
    )


def _store(session: Session, declaration: Declaration) -> None:
    screened = screen(Kind.SERVER, COMMAND, declaration.command)
    row = session.get(Definition, (declaration.slug, Kind.SERVER, COMMAND))
    row = row or Definition(
        server=declaration.slug, kind=Kind.SERVER, name=COMMAND, raw="", digest="", first_seen=time.time()
    )
    row.raw, row.digest, row.last_seen = declaration.command, screened.digest, time.time()
    row.findings = [finding.plain() for finding in screened.findings]
    session.add(row)
