"""What the demo puts behind the door the first time: servers approved, people in groups, an agent, a policy.

It goes the way that everybody goes: proposed, probed, observed, approved by digest; nothing here has a door of its own.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlmodel import select

from authz.clients.enrolling import add_agent
from authz.people.accounts import add_group, add_person, join, new_hash
from authz.people.passwords import make_password
from authz.policy.rules import Draft, write_rule
from authz.tables import Client, Person
from gateway.upstream.refreshing.once import refresh_once
from registry.approving import Approver, approve
from registry.database import Concern
from registry.reviewing import review
from registry.servers import Proposal, move, propose
from registry.tables import Server

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.office import Office

WHO = "demo"
TITLES = {"notes": "Notes", "clock": "Clock"}
PEOPLE = {
    "editor": ("editors", "may use everything of both servers"),
    "reader": ("readers", "may read; sees notes_delete, and calling it explains why not"),
}
AGENT = "nightly"
AGENT_GROUP = "robots"
POLICY = (
    Draft(subject="group:editors", object="notes.*", action="*"),
    Draft(subject="group:editors", object="clock.*", action="*"),
    Draft(subject="group:readers", object="notes.list", action="call"),
    Draft(subject="group:readers", object="notes.search", action="call"),
    Draft(subject="group:readers", object="notes.read", action="call"),
    Draft(subject="group:readers", object="notes.*", action="read"),
    Draft(subject="group:readers", object="notes.summarise", action="get"),
    Draft(subject="group:readers", object="notes.delete", action="list", note="deleting is for editors"),
    Draft(subject="group:readers", object="clock.*", action="*"),
    Draft(subject="group:robots", object="notes.list", action="call"),
    Draft(subject="group:robots", object="notes.search", action="call"),
    Draft(subject="group:robots", object="clock.now", action="call"),
)


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody of the demo, as the greeting prints them; `secret` is empty once it has been printed."""

    name: str
    what: str
    secret: str = field(default="", repr=False)


def furnish(office: Office, urls: Mapping[str, str]) -> list[Account]:
    """Makes what is not there yet; a secret made now is in the account, one made earlier is not known any more."""
    for slug, url in urls.items():
        _server(office, slug, url)
    accounts = [_person(office, handle) for handle in PEOPLE]
    accounts.append(_agent(office))
    return accounts


def _server(office: Office, slug: str, url: str) -> None:
    with office.database.read() as session:
        present = session.get(Server, slug)
    if present is None:
        _introduce(office, slug, url)
    elif present.url != url:
        with office.change("server.moved", Concern.CATALOGUE, who=WHO, server=slug, url=url) as (session, _):
            move(session, slug, url, who=WHO)


def _introduce(office: Office, slug: str, url: str) -> None:
    with office.change("server.added", Concern.CATALOGUE, who=WHO, server=slug, url=url) as (session, _):
        proposal = Proposal(slug=slug, url=url, title=TITLES[slug], owner=WHO, allow_address=True)
        propose(session, proposal, who=WHO, exceptions=(), vault=office.vault)
    asyncio.run(refresh_once(office, slug, who=WHO))
    with office.change("server.approved", Concern.CATALOGUE, who=WHO, server=slug) as (session, facts):
        shown = review(session, slug).digests(flagged=False)
        done = approve(session, slug, shown, by=Approver(name=WHO, signed_in=False, admins=1))
        facts.update(done.facts())


def _person(office: Office, handle: str) -> Account:
    group, what = PEOPLE[handle]
    with office.database.read() as session:
        if session.exec(select(Person).where(Person.handle == handle)).first() is not None:
            return Account(handle, what)
    password = make_password()
    hashed = new_hash(handle, password)
    facts = {"person": f"user:{handle}", "groups": [group]}
    with office.change("person.added", Concern.PEOPLE, Concern.POLICY, who=WHO, **facts) as (session, _):
        add_group(session, group)
        join(session, group, add_person(session, handle, password_hash=hashed, name=handle.capitalize()).id)
        for draft in POLICY:
            if draft.subject == f"group:{group}":
                write_rule(session, draft, who=WHO, now=time.time())
    return Account(handle, what, password)


def _agent(office: Office) -> Account:
    what = "an agent with client credentials: client_id "
    with office.database.read() as session:
        present = session.exec(select(Client).where(Client.handle == AGENT)).first()
    if present is not None:
        return Account(AGENT, what + present.id)
    with office.change("client.added", Concern.PEOPLE, Concern.POLICY, who=WHO, name=AGENT) as (session, facts):
        agent, secret = add_agent(session, AGENT)
        facts["client"] = agent.id
        add_group(session, AGENT_GROUP)
        join(session, AGENT_GROUP, agent.id)
        for draft in POLICY:
            if draft.subject == f"group:{AGENT_GROUP}":
                write_rule(session, draft, who=WHO, now=time.time())
    return Account(AGENT, what + agent.id, secret)
