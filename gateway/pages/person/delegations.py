"""A person's delegations: which agents may act for them, with what and until when; given here and ended here."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from authz.clients.agents import agents
from authz.errors import DelegationRefused, ScopeRefused
from authz.scopes import names_one, parse_scope
from authz.tables import Client
from authz.tokens import delegations
from gateway.oauth.offered import Offered
from gateway.pages.gate import address_of, for_person
from gateway.pages.person.belongings import SHOWN
from gateway.pages.render import message, page, see_other
from gateway.pages.session import posted, posted_with, world_of
from gateway.problems import sentence
from registry.catalogue import PORTAL_PATH
from registry.database import Concern

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlmodel import Session
    from starlette.requests import Request
    from starlette.responses import Response

    from authz.people.sessions import SignedIn
    from authz.tables import Delegation

DAY = 86400.0
THING = "thing"  # the one field that comes once for each tool


@dataclass(frozen=True, slots=True)
class Shown:
    """A delegation as its person sees it."""

    row: Delegation
    agent: str
    state: str

    @property
    def things(self) -> list[str]:
        return self.row.scope.split(" ")


@for_person
def show(request: Request, me: SignedIn) -> Response:
    """GET /account/delegations"""
    return _page(request, me)


@for_person
def give(request: Request, me: SignedIn) -> Response:
    """POST /account/delegations"""
    form, things = posted_with(request, THING)
    try:
        _give(request, me, form, things)
    except (DelegationRefused, ScopeRefused) as refused:
        return _page(request, me, error=sentence(str(refused)), status=400)
    return see_other("/account/delegations")


@for_person
def end(request: Request, me: SignedIn) -> Response:
    """POST /account/delegations/end: its tokens are refused from now on."""
    form = posted(request)
    id_, office = form.get("delegation", ""), world_of(request).office
    facts = {"delegation": id_, "person": me.person.label, "address": address_of(request)}
    try:
        with office.change("delegation.ended", Concern.CUTOFFS, who=me.person.label, **facts) as (session, record):
            row = delegations.find(session, id_)
            if row.person != me.person.id:
                raise DelegationRefused("not theirs")  # noqa: TRY301 - the same answer as for one that never was
            record["agent"] = _agent_name(session, row)
            delegations.end(session, row, time.time())
    except DelegationRefused:
        return message(request, 404, "No such delegation", "You have given no such delegation.")
    return see_other("/account/delegations")


def usable_things(request: Request, me: SignedIn) -> dict[str, list[str]]:
    """What this person may use of the portal now, by server, as far as a scope can name it."""
    snapshot = world_of(request).snapshots.current
    member = snapshot.members.get(me.person.id)
    if member is None:
        return {}
    offered = Offered(snapshot, PORTAL_PATH, me.principal(member, "", time.time()))
    found: dict[str, list[str]] = {}
    for thing in sorted(offered.things):
        if names_one(thing) and offered.may_use(thing):
            found.setdefault(thing.partition(".")[0], []).append(thing)
    return found


def _give(request: Request, me: SignedIn, form: Mapping[str, str], things: Sequence[str]) -> None:
    usable = usable_things(request, me)
    offered = {f"{server}.*" for server in usable} | {thing for some in usable.values() for thing in some}
    if not things or not offered.issuperset(things):
        raise DelegationRefused("choose among the tools that you may use yourself")
    now, who = time.time(), me.person.label
    facts = {"person": who, "scope": " ".join(things), "address": address_of(request)}
    with world_of(request).office.change("delegation.given", who=who, **facts) as (session, record):
        draft = delegations.Draft(
            person=me.person,
            agent=_agent(session, form.get("agent", "")),
            scopes=parse_scope(" ".join(things)),
            expires_at=now + _number(form.get("days", ""), "days") * DAY,
            uses=_number(form["uses"], "uses") if form.get("uses") else None,
            reason=form.get("reason", ""),
        )
        row = delegations.delegate(session, draft, who=who, now=now)
        record |= {"delegation": row.id, "agent": _agent_name(session, row), "expires_at": row.expires_at}
        record |= {"uses": row.uses_left, "reason": row.reason}


def _agent(session: Session, id_: str) -> Client:
    found = next((agent for agent in agents(session) if agent.id == id_), None)
    if found is None:
        raise DelegationRefused("choose one of the agents that are offered")
    return found


def _agent_name(session: Session, row: Delegation) -> str:
    agent = session.get(Client, row.agent)
    return agent.label if agent is not None else row.agent


def _number(text: str, what: str) -> int:
    if not text.isdecimal() or len(text) > 7:
        raise DelegationRefused(f"{what}: a whole number")
    return int(text)


def _page(request: Request, me: SignedIn, *, error: str = "", status: int = 200) -> Response:
    now = time.time()
    with world_of(request).office.database.read() as session:
        given = [
            Shown(row, _agent_name(session, row), delegations.state(session, row, now))
            for row in delegations.given(session, person=me.person.id)
        ]
        known = sorted(agents(session), key=lambda agent: agent.handle)
    return page(
        request,
        "delegations.html",
        status=status,
        error=error,
        active=[one for one in given if one.state == "active"],
        over=[one for one in given if one.state != "active"][:10],
        agents=known,
        usable=usable_things(request, me),
        shown=SHOWN,
        days=round(delegations.USUAL / DAY),
        most_days=round(delegations.LONGEST / DAY),
        most_uses=delegations.MOST_USES,
        longest_reason=delegations.LONGEST_REASON,
    )
