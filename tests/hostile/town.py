"""A gateway, two companies whose people use it, and a server of each mode behind it (see `judging`)."""

from __future__ import annotations

import asyncio
import itertools
import time
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

from authz.policy.rules import Draft, write_rule
from gateway.credentials.connections import deeds
from gateway.identity.registering import Described, register
from registry.credentials import authenticating
from registry.credentials.connections import Tokens
from registry.credentials.modes import MODES
from registry.database import Concern
from registry.servers import find
from registry.tables import Auth
from tests.fakes.furnished import furnish
from tests.fakes.providers.openid import CLIENT, SECRET
from tests.gateway.credentials.derived.company import sign_in
from tests.hostile.judging import KEYS, NOTES, REGION, SERVICE, THERE, aws_secret

if TYPE_CHECKING:
    from pathlib import Path

    from authz.tables import Client, Person
    from tests.gateway.oauth.house import House
    from tests.hostile.judging import Judging

TOOLS: Final = ("one", "two")
BETWEEN: Final = 1000  # calls after which everybody connects anew
AT = {"anna": "entra", "annb": "entra", "annc": "corp", "annd": "corp"}  # where each of them signs in
SHARED: dict[str, tuple[Auth, dict[str, Any]]] = {
    "stored": (Auth.STATIC, {}),
    "team": (Auth.OAUTH_SHARED, {}),
    "ourselves": (Auth.CLIENT_CREDENTIALS, {"client_id": THERE, "issuer": ""}),
    **{slug: (Auth.AWS, {"region": REGION, "service": SERVICE, "access_key": key}) for slug, key in KEYS.items()},
}
OWN: dict[str, tuple[Auth, dict[str, Any]]] = {
    "given": (Auth.STATIC, {"per": "person", "header": "Authorization", "scheme": "Bearer"}),
    "connected": (Auth.OAUTH_PERSON, {}),
    "behalf": (Auth.ON_BEHALF_OF, {"provider": "entra", "scopes": (NOTES,)}),
    "vouched": (Auth.ID_JAG, {"client_id": THERE, "source": "provider", "provider": "corp", "issuer": ""}),
}
ACTED: dict[str, tuple[Auth, dict[str, Any]]] = {  # here a server is told who acts, too
    "exchanged": (Auth.TOKEN_EXCHANGE, {"client_id": THERE, "token_endpoint": ""}),
    "asserted": (Auth.ID_JAG, {"client_id": THERE, "source": "ours", "issuer": ""}),
    "minted": (Auth.MINTED, {}),
}
ALL = SHARED | OWN | ACTED
LENT = {"behalf": "entra", "vouched": "corp"}  # for those alone who signed in there


@dataclass
class Town:
    """A gateway, two companies whose people use it, and a server of each mode behind it."""

    house: House
    judging: Judging
    companies: dict[str, Any]
    base: str  # of the servers
    people: dict[str, Person] = field(default_factory=dict)
    calls: int = 0

    def furnish(self, ca_file: Path) -> None:
        """Before the house opens."""
        corp = self.companies["corp"]
        config = {"issuer": corp.issuer, "client_id": CLIENT, "scopes": ["openid", "offline_access"]}
        self._join("corp", "oidc", config | {"allow_addresses": [corp.origin]})
        self._join("entra", "entra", self.companies["entra"].config(ca_file))
        for slug in ALL:
            furnish(self.house, slug, self.url(slug), *TOOLS)
            self._authenticate(slug)

    def _join(self, slug: str, kind: str, config: dict[str, Any]) -> None:
        described = Described(slug=slug, kind=kind, config=config, secrets={"client_secret": SECRET.encode()})
        register(self.house.office, described, who="operator:test")

    def _authenticate(self, slug: str) -> None:
        (auth, settings), office = ALL[slug], self.house.office
        issuer = self.judging.services.issuer
        places = {"token_endpoint": f"{issuer}/token", "issuer": issuer}
        more = {name: places[name] for name in places.keys() & settings.keys()}
        with office.database.change(Concern.CATALOGUE) as session:
            authenticating.set_auth(
                session, find(session, slug), auth, settings | more, self._secrets(slug), office.vault
            )

    def _secrets(self, slug: str) -> dict[str, bytes]:
        if slug in KEYS:
            return {"aws_secret": aws_secret(slug).encode()}
        if slug == "stored":
            return {"header": f"Authorization: Bearer {self.judging.give('stored', 'us')}".encode()}
        auth, settings = ALL[slug]
        wanted = "client_secret" in MODES[auth].secrets and "client_id" in settings
        return {"client_secret": b"secret"} if wanted else {}

    def url(self, slug: str) -> str:
        return f"{self.base}/{slug}/mcp"

    def allow(self, agent: Client) -> None:
        """The people, as they are called once they have come, and the agent may do all that there is."""
        subjects = [f"user:{name}@{at}" for name, at in AT.items()] + [f"agent:{agent.handle}"]
        with self.house.office.database.change(Concern.POLICY) as session:
            for subject, slug in itertools.product(subjects, ALL):
                draft = Draft(subject=subject, object=f"{slug}.*", action="*")
                write_rule(session, draft, who="operator:test", now=time.time())

    def admit(self) -> None:
        """Everybody signs in at their company."""
        desk: Any = SimpleNamespace(office=self.house.office, equipment=self.house.world.credentials.equipment)
        self.people = {name: sign_in(desk, self.companies[at], name, at)[0] for name, at in AT.items()}
        end, snapshots = time.monotonic() + 10, self.house.world.snapshots
        while not {person.id for person in self.people.values()} <= snapshots.current.members.keys():
            assert time.monotonic() < end, "they are not known"
            time.sleep(0.05)

    def connect(self) -> None:
        """Everybody gives, and is given, something new."""
        equipment = self.house.world.credentials.equipment
        deeds.connect(equipment, "team", "", self._tokens("team", "us"), who="operator:root")
        given_at = self.house.world.snapshots.current.catalogue.upstreams["given"]
        for name, person in self.people.items():
            who = f"user:{person.handle}"
            deeds.connect(equipment, "connected", person.id, self._tokens("connected", name), who=who)
            deeds.give(equipment, given_at, person.id, self.judging.give("given", name).encode(), who=who)

    def _tokens(self, slug: str, whose: str) -> Tokens:
        return Tokens(access=self.judging.give(slug, whose), issuer="https://as.example", audience=self.url(slug))

    async def passed(self) -> None:
        """A call is over. Now and then all connect anew, so that what is at hand is cut off in the middle of it all."""
        self.calls += 1
        if self.calls % BETWEEN == 0:
            await asyncio.to_thread(self.connect)
