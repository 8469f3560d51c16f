"""Servers that are processes of ours: the operator's file makes them, and nothing else does.

Their command line is a definition like any other (of kind SERVER), so that it is shown, reviewed, pinned and compared
as they are: while it is not the one that was approved, nothing of the server exists for anybody.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlmodel import Session, col, select

from registry.errors import RegistryError, WrongState
from registry.naming import check_slug
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


def declare(session: Session, declaration: Declaration, *, who: str) -> str:
    """Stores what the file says. What happened, as a word for the record, or nothing.

    Raises RegistryError where the name belongs to something else.
    """
    server = session.get(Server, declaration.slug)
    if server is None:
        _propose(session, declaration, who)
        return "added"
    if server.transport != Transport.STDIO or server.state == ServerState.RETIRED:
        was = "was retired" if server.state == ServerState.RETIRED else f"is a server at {server.url}"
        raise RegistryError(f"{declaration.slug} {was}, and a name stays with what had it; choose another")
    server.title, server.owner = declaration.title or declaration.slug, declaration.owner
    session.add(server)
    changed = _store(session, declaration)
    if server.state == ServerState.SUSPENDED and server.suspended_because == GONE:
        resume(session, declaration.slug)
        return "declared"
    return "changed" if changed else ""


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


def _propose(session: Session, declaration: Declaration, who: str) -> None:
    check_slug(declaration.slug, session.exec(select(Server.slug)))
    server = Server(
        slug=declaration.slug,
        title=declaration.title or declaration.slug,
        owner=declaration.owner,
        url=SCHEME + declaration.slug,
        transport=Transport.STDIO,
        allowed=list(DEFAULT_ALLOWED),
        proposed_by=who,
        proposed_at=time.time(),
    )
    session.add(server)
    session.flush()
    _store(session, declaration)


def _store(session: Session, declaration: Declaration) -> bool:
    """Whether the command is another than it was."""
    screened = screen(Kind.SERVER, COMMAND, declaration.command)
    row = session.get(Definition, (declaration.slug, Kind.SERVER, COMMAND))
    if row is not None and row.digest == screened.digest:
        return False
    row = row or Definition(
        server=declaration.slug, kind=Kind.SERVER, name=COMMAND, raw="", digest="", first_seen=time.time()
    )
    row.raw, row.digest, row.last_seen = declaration.command, screened.digest, time.time()
    row.findings = [finding.plain() for finding in screened.findings]
    session.add(row)
    return True
