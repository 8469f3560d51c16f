"""What may be called, and how the servers stand. For `ostiary doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlmodel import select

from authz.policy.policy import load_policy
from gateway.operating.checks import Check, State
from gateway.operating.hidden import hidden, look
from gateway.operating.renewals import late, renew
from gateway.operating.standing import certificate_ending, resuming, unchecked
from gateway.upstream.troubles import UNREAD
from registry.tables import Server, ServerState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.office import Office

AMBER, RED = State.AMBER, State.RED


def policy(office: Office, _now: float) -> Iterator[Check]:
    with office.database.read() as session:
        loaded = load_policy(session, 0)
    if loaded.empty:
        yield Check("policy", AMBER, "no rule is in force: nobody may do anything", "ostiary policy add --help")
    if loaded.broken:
        why = f"{len(loaded.broken)} stored rules are not well formed and allow nothing: {', '.join(loaded.broken[:5])}"
        yield Check("rules", RED, why, "ostiary policy remove RULE")


def servers(office: Office, now: float) -> Iterator[Check]:
    with office.database.read() as session:
        rows = session.exec(select(Server).where(Server.state != ServerState.RETIRED)).all()
        away, behind = hidden(session), late(session)
    for server in rows:
        yield from _server(server, now)
        if server.state == ServerState.APPROVED and server.slug in away:
            yield Check(f"server {server.slug}", AMBER, away[server.slug], look(server.slug))
        if server.slug in behind:
            yield Check(f"server {server.slug}", AMBER, str(behind[server.slug]), renew(server.slug))


def _server(server: Server, now: float) -> Iterator[Check]:
    name = f"server {server.slug}"
    if server.state == ServerState.SUSPENDED:
        yield Check(name, AMBER, f"is suspended: {server.suspended_because}", resuming(server))
    elif server.failing_since is not None:
        unread = f"{unchecked(server)}: " if server.trouble in UNREAD else ""
        why = f"fails for {now - server.failing_since:.0f} s: {unread}{server.failure}"
        yield Check(name, AMBER, why, f"ostiary server status {server.slug}")
    elif server.state == ServerState.SUBMITTED:
        yield Check(name, AMBER, "awaits its review", f"ostiary server show {server.slug}")
    ending = certificate_ending(server, now)
    if ending is not None:
        why, remedy = ending
        yield Check(name, RED if server.tls["until"] <= now else AMBER, why, remedy)
