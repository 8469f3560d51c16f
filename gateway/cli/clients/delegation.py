"""`ostiary delegation`: people who let agents act for them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.common import Family, as_json, show, with_office
from gateway.cli.output import minute, say, table
from gateway.office import operator
from registry.database import Concern

if TYPE_CHECKING:
    from sqlmodel import Session

    from authz.tables import Delegation
    from gateway.office import Office

DAY = 86400.0


@click.group(cls=Family)
def delegation() -> None:
    """People who let agents act for them."""


@delegation.command("add")
@click.option("--user", "handle", required=True, help="who lets it")
@click.option("--agent", "agent_handle", required=True, help="which agent: NAME or agent:NAME")
@click.option("--scope", required=True, help='what for: "server.tool server.*"')
@click.option("--days", type=click.FloatRange(0, 180, min_open=True), default=30.0, show_default=True)
@click.option("--uses", type=click.IntRange(1), help="how many tokens it is good for; as many as it likes if not given")
@click.option("--reason", default="", help="what it is for, for whoever reads it later")
@as_json
@with_office
def delegation_add(
    office: Office,
    handle: str,
    agent_handle: str,
    scope: str,
    days: float,
    uses: int | None,
    reason: str,
    *,
    as_json: bool,
) -> None:
    """Let an agent act for somebody. Both still have to be allowed whatever it does."""
    from authz.clients.agents import find_agent
    from authz.people.accounts import find_person
    from authz.scopes import parse_scope
    from authz.tokens import delegations

    now, scopes = time.time(), parse_scope(scope)
    expires_at = now + days * DAY
    facts = {"scope": scope, "uses": uses, "expires_at": expires_at, "reason": reason}
    with office.change("delegation.given", who=operator(), **facts) as (session, record):
        person = find_person(session, handle.removeprefix("user:"))
        agent = find_agent(session, agent_handle.removeprefix("agent:"))
        draft = delegations.Draft(
            person=person, agent=agent, scopes=scopes, expires_at=expires_at, uses=uses, reason=reason
        )
        made = delegations.delegate(session, draft, who=operator(), now=now)
        record |= {"delegation": made.id, "person": person.label, "agent": agent.label}
        row = _row(session, made, now)
    text = f"agent:{agent.handle} may act for user:{person.handle}\ndelegation {made.id}"
    say(text, row, as_json=as_json)


@delegation.command("list")
@click.option("--user", "handle", default="", help="of one person")
@click.option("--agent", "agent_handle", default="", help="to one agent")
@click.option("--all", "everything", is_flag=True, help="also those that are over")
@as_json
@with_office
def delegation_list(office: Office, handle: str, agent_handle: str, *, everything: bool, as_json: bool) -> None:
    """Who lets which agent act for them, the newest first."""
    from authz.clients.agents import find_agent
    from authz.people.accounts import find_person
    from authz.tokens import delegations

    now = time.time()
    with office.database.read() as session:
        person = find_person(session, handle.removeprefix("user:")).id if handle else ""
        agent = find_agent(session, agent_handle.removeprefix("agent:")).id if agent_handle else ""
        rows = [_row(session, row, now) for row in delegations.given(session, person=person, agent=agent)]
    rows = [row for row in rows if everything or row["state"] == "active"]
    columns = "delegation person agent scope uses_left expires state"
    show(rows, as_json=as_json, text=lambda: table(rows, columns, "no delegation"))


@delegation.command("show")
@click.argument("delegation_id")
@as_json
@with_office
def delegation_show(office: Office, delegation_id: str, *, as_json: bool) -> None:
    """Everything about one."""
    from authz.tokens import delegations

    with office.database.read() as session:
        row = _row(session, delegations.find(session, delegation_id), time.time())
    show(row, as_json=as_json, text=lambda: "\n".join(f"{name:<12} {value}" for name, value in row.items()))


@delegation.command("end")
@click.argument("delegation_id")
@as_json
@with_office
def delegation_end(office: Office, delegation_id: str, *, as_json: bool) -> None:
    """End one; the tokens that it led to are refused from now on."""
    from authz.tokens import delegations

    with office.change("delegation.ended", Concern.CUTOFFS, who=operator(), delegation=delegation_id) as (
        session,
        facts,
    ):
        row = delegations.find(session, delegation_id)
        delegations.end(session, row, time.time())
        session.flush()
        shown = _row(session, row, time.time())
        facts |= {"person": shown["person"], "agent": shown["agent"]}
    say(f"{delegation_id} has ended", {"delegation": delegation_id, "state": "ended"}, as_json=as_json)


def _row(session: Session, row: Delegation, now: float) -> dict[str, Any]:
    from authz.tables import Client, Person
    from authz.tokens import delegations

    person, agent = session.get(Person, row.person), session.get(Client, row.agent)
    return {
        "delegation": row.id,
        "person": person.label if person else row.person,
        "agent": agent.label if agent else row.agent,
        "scope": row.scope,
        "uses_left": "any" if row.uses_left is None else row.uses_left,
        "expires": minute(row.expires_at),
        "last_used": minute(row.last_used_at),
        "state": delegations.state(session, row, now),
        "reason": row.reason,
        "given": minute(row.created_at),
        "given_by": row.created_by,
    }
