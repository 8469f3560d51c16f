"""An office with keys, and what a source is asked: who asks, for which server, under which settings."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from authz import jose
from authz.acting import write_chain
from authz.principals import VerifiedClaims
from authz.tables import Person
from gateway.assembly import open_office
from gateway.credentials import Asked
from gateway.credentials.equipment import Equipment
from gateway.credentials.sources import Sources
from gateway.oauth.metadata import server_metadata
from gateway.settings import Settings
from gateway.starting.first_start import ensure_signing_key
from registry.addresses import exception_line, parse
from registry.catalogue import Upstream
from registry.credentials.modes import read_auth
from registry.database import Concern
from registry.tables import AddressException, Auth, Era, Server, ServerState
from tests.fakes.parties import principal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from authz.principals import Principal
    from authz.tokens.keys import KeySet
    from gateway.office import Office
    from registry.catalogue import Credential

URL = "https://notes.example/mcp"


class Bench:
    """`with bench(tmp_path) as opened:`; `clock` is moved by tests."""

    def __init__(self, office: Office) -> None:
        self.office = office
        self.now = 0.0
        self.equipment = Equipment(office, clock=lambda: time.time() + self.now)
        self.sources = Sources(self.equipment)

    @property
    def base(self) -> str:
        return self.office.settings.base_url

    @property
    def metadata(self) -> dict[str, Any]:
        """What a server that trusts us reads first."""
        return server_metadata(self.base, registration=False)

    @property
    def keys(self) -> KeySet:
        from authz.tokens.keys import load_keys

        with self.office.database.read() as session:
            return load_keys(session, self.office.vault)

    @property
    def jwks(self) -> dict[str, Any]:
        return self.keys.published(time.time())

    def person(self, handle: str, **more: Any) -> Person:
        said: dict[str, Any] = {"issuer": "local", "subject": handle} | more
        person = Person(id=f"usr_user:{handle}", handle=handle, **said)
        with self.office.database.change(Concern.PEOPLE) as session:
            session.add(person)
        return person

    def server(self, auth: Auth, settings: Mapping[str, Any], url: str = URL, **secrets: bytes) -> Upstream:
        """Registered under that mode, and as the data plane has it."""
        from registry.credentials.authenticating import set_auth

        with self.office.database.change(Concern.CATALOGUE) as session:
            row = session.get(Server, "notes") or Server(slug="notes", title="Notes", url=url)
            row.url, row.state = url, ServerState.APPROVED
            set_auth(session, row, auth, settings, secrets, self.office.vault)
        return upstream(auth, settings, url, [exception_line(url)])

    def reach(self, url: str) -> None:
        """An address on loopback that may be asked all the same."""
        address = parse(url, [exception_line(url)])
        with self.office.database.change() as session:
            session.merge(AddressException(scheme=address.scheme, host=address.host, port=address.port))

    def obtain(self, server: Upstream, who: Principal | None, object_: str = "notes.add", **more: Any) -> Credential:
        asked = Asked(upstream=server, principal=who, object=object_, **more)
        return self.sources.of(server.auth).obtain(asked).credential

    def records(self) -> str:
        return "".join(file.read_text() for file in (self.office.settings.data / "journal").rglob("*.jsonl"))


@contextmanager
def bench(data: Path, **settings: Any) -> Iterator[Bench]:
    office = open_office(Settings(data=data, metrics_listen="", **settings), create=True, role="gateway")
    ensure_signing_key(office)
    try:
        yield Bench(office)
    finally:
        office.close()


def upstream(auth: Auth, settings: Mapping[str, Any], url: str = URL, lines: Any = ()) -> Upstream:
    address = parse(url, lines)
    return Upstream(
        slug="notes", title="Notes", url=url, scheme=address.scheme, host=address.host, port=address.port,
        target=address.target, era=Era.MODERN, protocol_version="2026-07-28", auth=auth, capabilities={},
        auth_settings=read_auth(auth, settings),
    )  # fmt: skip


def who(handle: str = "ann", *acting: str) -> Principal:
    """A person, and the agents that act for them, nearest first."""
    agents = [principal(f"agent:{name}") for name in acting]
    claims = {"act": write_chain([agent.subject for agent in agents])} if agents else {}
    actor: Principal | None = None
    for agent in reversed(agents):
        actor = replace(agent, actor=actor)
    return replace(principal(f"user:{handle}", actor=actor), claims=VerifiedClaims(claims))


def as_principal(person: Person, *acting: str) -> Principal:
    """Somebody who has signed in."""
    return replace(who(person.handle, *acting), subject=person.id, label=f"user:{person.handle}")


def claims_of(token: str) -> dict[str, Any]:
    """What it says, unproved."""
    return dict(jose.read_foreign(token).claims)


def token_of(credential: Credential) -> str:
    assert credential.header == b"authorization"
    return credential.value.decode().partition(" ")[2]


__all__ = ["URL", "Bench", "as_principal", "bench", "claims_of", "token_of", "upstream", "who"]
