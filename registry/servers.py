"""Servers and their life: who proposes one, and the steps it may take. Approving is in `reviewing`, refreshing in
`observing`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlmodel import Session, col, select

from registry.addresses import exception_line, parse
from registry.catalogue.naming import check_slug
from registry.credentials.authenticating import owner, set_auth
from registry.credentials.connections import remove_all_at
from registry.credentials.tls import clear_tls
from registry.errors import AddressRefused, RegistryError, UnknownServer, WrongState
from registry.tables import (
    AddressException,
    ApiDescription,
    Auth,
    Definition,
    ExposedName,
    Server,
    ServerState,
    Transport,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from registry.secrets.vault import Vault

ASKABLE = ("elicitation", "sampling", "roots")
DEFAULT_ALLOWED = ("elicitation",)


class Step(StrEnum):
    APPROVE = "approve"
    SUSPEND = "suspend"
    RESUME = "resume"
    RETIRE = "retire"


_SUBMITTED, _APPROVED, _SUSPENDED, _RETIRED = ServerState
STEPS: dict[Step, dict[ServerState, ServerState]] = {
    Step.APPROVE: {_SUBMITTED: _APPROVED, _APPROVED: _APPROVED, _SUSPENDED: _SUSPENDED},
    Step.SUSPEND: {_APPROVED: _SUSPENDED},
    Step.RESUME: {_SUSPENDED: _APPROVED},
    Step.RETIRE: {_SUBMITTED: _RETIRED, _APPROVED: _RETIRED, _SUSPENDED: _RETIRED},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What somebody asks to be registered. `secrets` are by purpose (`registry.credentials.modes`)."""

    slug: str
    url: str
    title: str = ""
    owner: str = ""
    auth: Auth = Auth.NONE
    auth_settings: Mapping[str, Any] = field(default_factory=dict)
    secrets: Mapping[str, bytes] = field(default_factory=dict)
    allowed: tuple[str, ...] = DEFAULT_ALLOWED
    transport: Transport = Transport.HTTP
    allow_address: bool = False

    def __repr__(self) -> str:
        return f"Proposal({self.slug!r}, {self.url!r}, auth={self.auth!s})"


def propose(session: Session, proposal: Proposal, *, who: str, exceptions: Collection[str], vault: Vault) -> Server:
    """Registers a server, `submitted`. Raises NameRefused, AddressRefused or RegistryError, saying what to do."""
    if proposal.transport is Transport.STDIO:
        raise RegistryError("a process is declared in the operator's file ([[stdio_servers]]) and nowhere else")
    check_slug(proposal.slug, session.exec(select(Server.slug)))
    if proposal.allow_address:
        _except(session, proposal.url, who)
    address = parse(proposal.url, [*exceptions, *exception_lines(session)])
    server = Server(
        slug=proposal.slug,
        title=proposal.title or proposal.slug,
        owner=proposal.owner,
        url=f"{address.origin}{address.target}",
        transport=proposal.transport,
        allowed=check_allowed(proposal.allowed),
        proposed_by=who,
        proposed_at=time.time(),
    )
    session.add(server)
    session.flush()
    set_auth(session, server, proposal.auth, proposal.auth_settings, proposal.secrets, vault)
    return server


def check_allowed(allowed: Collection[str]) -> list[str]:
    """What a server may ask of whoever calls: nothing, or some of ASKABLE."""
    unknown = set(allowed) - set(ASKABLE)
    if unknown:
        raise RegistryError(f"--allow {','.join(sorted(unknown))}: there are {', '.join(ASKABLE)}, or none")
    return sorted(allowed)


def move(session: Session, slug: str, url: str, *, who: str) -> None:
    """The same server at another address of this machine; what it offers stays held to its pins."""
    server = find(session, slug)
    _end_exception(session, server)
    _except(session, url, who)
    address = parse(url, exception_lines(session))
    server.url = f"{address.origin}{address.target}"
    session.add(server)


def find(session: Session, slug: str) -> Server:
    server = session.get(Server, slug)
    if server is None:
        raise UnknownServer(f"there is no server {slug!r}; `ostiary server list` names them")
    return server


def all_servers(session: Session, *, retired: bool = False) -> list[Server]:
    """Every server in the order of slugs."""
    servers = session.exec(select(Server).order_by(Server.slug)).all()
    return [server for server in servers if retired or server.state != ServerState.RETIRED]


def step(server: Server, which: Step) -> None:
    """Takes the server one step on, if the step is allowed from where it is."""
    after = STEPS[which].get(ServerState(server.state))
    if after is None:
        allowed = ", ".join(sorted(STEPS[which])) or "none"
        raise WrongState(f"{server.slug} is {server.state}: {which} is possible from {allowed}")
    server.state = after


def suspend(session: Session, slug: str, because: str = "") -> Server:
    """From now on nothing of the server exists for anybody, until it is resumed."""
    server = find(session, slug)
    step(server, Step.SUSPEND)
    server.suspended_because = because or "an administrator suspended it"
    session.add(server)
    return server


def resume(session: Session, slug: str) -> Server:
    """Takes a suspension back; only what is approved as it is now can be used."""
    server = find(session, slug)
    step(server, Step.RESUME)
    server.suspended_because, server.flaps, server.flapped_at = "", 0, None
    session.add(server)
    return server


def retire(session: Session, slug: str, vault: Vault) -> Server:
    """For good: its secrets go, its name stays taken. One that was never approved leaves no trace but the record."""
    server = find(session, slug)
    step(server, Step.RETIRE)
    vault.forget(session, owner(slug))
    remove_all_at(session, vault, slug)
    clear_tls(session, server, vault)
    session.add(server)
    session.flush()
    _end_exception(session, server)
    if server.approved_at is None:
        for table in (Definition, ExposedName, ApiDescription):
            session.connection().execute(sa.delete(table).where(col(table.server) == slug))
        session.delete(server)
    return server


def exception_lines(session: Session) -> list[str]:
    """`scheme://host:port` of every exception made on this machine."""
    return [_line(row) for row in session.exec(select(AddressException))]


def _except(session: Session, url: str, who: str) -> None:
    """Only for somebody with a shell here: a page or an API never gets to this."""
    scheme, _, rest = exception_line(url).partition("://")
    host, _, port = rest.rpartition(":")
    key = (scheme, host.strip("[]"), int(port))
    if session.get(AddressException, key) is None:
        session.add(AddressException(scheme=key[0], host=key[1], port=key[2], added_by=who, added_at=time.time()))
        session.flush()


def _end_exception(session: Session, server: Server) -> None:
    """An exception goes with the last server that needed it."""
    origin = exception_line(server.url)
    if any(exception_line(other.url) == origin for other in all_servers(session) if other.slug != server.slug):
        return
    for row in session.exec(select(AddressException)):
        if _line(row) == origin:
            session.delete(row)


def _line(row: AddressException) -> str:
    host = f"[{row.host}]" if ":" in row.host else row.host
    return f"{row.scheme}://{host}:{row.port}"


def reachable(servers: Iterable[Server], lines: Collection[str]) -> list[Server]:
    """Those whose address may still be connected to: taking an exception back takes the server away."""
    return [server for server in servers if server.transport == Transport.STDIO or _may_reach(server.url, lines)]


def _may_reach(url: str, lines: Collection[str]) -> bool:
    try:
        parse(url, lines)
    except AddressRefused:
        return False
    return True
