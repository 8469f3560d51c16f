"""Servers for a `House`: registered, looked at and approved as an administrator would do it, and rules about them."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Protocol

from authz.policy.rules import Draft, write_rule
from authz.tokens.minting import Minting, mint
from registry.approving import Approver, approve
from registry.database import Concern
from registry.observing import Seen, observe
from registry.reviewing import review
from registry.screening import Described
from registry.servers import Proposal, propose
from registry.tables import Auth, Era, Kind
from tests.fakes.door import MODERN

if TYPE_CHECKING:
    from authz.tables import Client, Person
    from gateway.office import Office
    from tests.gateway.oauth.house import House

WHO = "operator:root"


class Furnished(Protocol):
    """Whatever has an office."""

    @property
    def office(self) -> Office: ...


def furnish(house: Furnished, slug: str, url: str, *tools: str, header: bytes = b"", **capabilities: Any) -> None:
    """Before the house opens, so that its first snapshot has it all."""
    auth, secrets = (Auth.STATIC, {"header": header}) if header else (Auth.NONE, {})
    asked = Proposal(slug=slug, url=url, allow_address=True, auth=auth, secrets=secrets)
    office, seen = house.office, [described(name) for name in tools]
    with office.database.change(Concern.CATALOGUE) as session:
        propose(session, asked, who=WHO, exceptions=(), vault=office.vault)
        look = Seen(
            era=Era.MODERN, protocol_version=MODERN, capabilities={"tools": {}} | capabilities, definitions=tuple(seen)
        )
        observe(session, slug, look)
        shown = review(session, slug).digests(flagged=True)
        approve(session, slug, shown, by=Approver(name=WHO, signed_in=False, admins=1), accept_findings=True)


def allow(house: House, person: Person, *things: str) -> None:
    """All actions on each of these."""
    with house.office.database.change(Concern.POLICY) as session:
        for thing in things:
            draft = Draft(subject=f"user:{person.handle}", object=thing, action="*")
            write_rule(session, draft, who=WHO, now=time.time())


def minted(house: House, person: Person, client: Client, path: str = "/mcp", *, act: tuple[str, ...] = ()) -> str:
    """An access token, without the way through the pages; `act` are agents that act with it."""
    asked = Minting(
        issuer=house.base, subject=person.id, client=client.id, resource=house.base + path, scope="mcp", life=300,
        act=act,
    )  # fmt: skip
    return mint(house.world.snapshots.current.keys, asked).token


def door_of(house: House) -> Any:
    """What a `Line` needs to know of the house."""
    return SimpleNamespace(port=house.settings.port, base=house.base)


def described(name: str, description: str = "") -> Described:
    value = {"name": name, "description": description or f"The tool {name}.", "inputSchema": {"type": "object"}}
    return Described(Kind.TOOL, name, json.dumps(value))
