"""An office with servers that want tokens, and people who connect accounts: no pages, no calls."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from authz.tables import Person
from gateway.assembly import open_office
from gateway.credentials import Asked
from gateway.credentials.equipment import Equipment
from gateway.credentials.oauth.connecting import flow
from gateway.settings import Settings
from gateway.starting.first_start import ensure_signing_key
from registry.catalogue.assembling import upstream_of
from registry.credentials import connections
from registry.credentials.authenticating import set_auth
from registry.database import Concern
from registry.servers import exception_lines
from registry.tables import Auth, Connection, Server, ServerState, UpstreamClient
from tests.fakes.servers.raw import principal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gateway.credentials.oauth.connecting.flow import Arrived
    from gateway.office import Office
    from registry.catalogue import Upstream
    from registry.credentials.connections import Tokens
    from tests.fakes.servers.upstream_authority import Authority

BROWSER = "the-cookie-of-a-browser"


@dataclass
class Settled:
    """`clock` moves with `later`."""

    office: Office
    ahead: float = 0.0
    equipment: Equipment = field(init=False)

    def __post_init__(self) -> None:
        self.equipment = Equipment(self.office, clock=lambda: time.time() + self.ahead)

    def later(self, seconds: float) -> None:
        self.ahead += seconds

    def server(
        self, url: str, slug: str = "notes", auth: Auth = Auth.OAUTH_PERSON, secrets: Any = None, **settings: Any
    ) -> Upstream:
        with self.office.database.change(Concern.CATALOGUE) as session:
            server = Server(slug=slug, title=slug.title(), url=url, state=ServerState.APPROVED)
            session.add(server)
            set_auth(session, server, auth, settings, secrets or {}, self.office.vault)
        return self.upstream(slug)

    def upstream(self, slug: str = "notes") -> Upstream:
        with self.office.database.read() as session:
            lines = [*self.office.settings.allow_addresses, *exception_lines(session)]
            return upstream_of(session.get_one(Server, slug), lines)

    def person(self, handle: str) -> str:
        with self.office.database.change(Concern.PEOPLE) as session:
            session.add(Person(id=f"usr_{handle}", issuer="local", subject=handle, handle=handle))
        return f"usr_{handle}"

    def depart(self, upstream: Upstream, person: str = "usr_alice", browser: str = BROWSER, **more: Any) -> str:
        told = {"subject": person, "person": person, "browser": browser, **more}
        return flow.begin(self.equipment, upstream, **told).url

    def come_back(
        self, url: str, slug: str = "notes", person: str = "usr_alice", browser: str = BROWSER, *, shares: bool = True
    ) -> Arrived:
        told: dict[str, Any] = {"browser": browser, "person": person, "who": "user:alice", "shares": shares}
        return flow.finish(self.equipment, slug, query_of(url), **told)

    def connect(self, fake: Authority, upstream: Upstream, person: str = "usr_alice", **more: Any) -> Connection:
        back = fake.arrive(self.depart(upstream, person, **more), person)
        return self.come_back(back, upstream.slug, person).connection

    def connection(self, slug: str = "notes", subject: str = "usr_alice") -> Connection | None:
        with self.office.database.read() as session:
            return connections.find(session, slug, subject)

    def tokens(self, slug: str = "notes", subject: str = "usr_alice") -> Tokens:
        with self.office.database.read() as session:
            row = connections.find(session, slug, subject)
            assert row is not None
            return connections.tokens_of(session, self.office.vault, row)

    def app(self, issuer: str, slug: str = "notes") -> UpstreamClient | None:
        with self.office.database.read() as session:
            return session.get(UpstreamClient, (slug, issuer))

    def asked(self, upstream: Upstream, person: str = "usr_alice", **more: Any) -> Asked:
        return Asked(upstream=upstream, principal=principal(person), **more)

    def written(self) -> str:
        return "".join(file.read_text() for file in (self.office.settings.data / "journal").rglob("*.jsonl"))


def query_of(url: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(url).query))


@contextmanager
def settled(data: Path, *origins: str, **settings: Any) -> Iterator[Settled]:
    """While the block runs; `origins` may be reached although they are on this machine."""
    office = open_office(Settings(data=data, allow_addresses=origins, **settings), create=True)
    try:
        ensure_signing_key(office)
        made = Settled(office)
        made.person("alice")
        made.person("bob")
        yield made
    finally:
        office.close()
