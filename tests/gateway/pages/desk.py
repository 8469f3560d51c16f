"""The control plane with its real parts (database, vault, journal, policy) and a catalogue of the test's own."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.testclient import TestClient

from authz.people.accounts import add_group, add_person, join, load_members, new_hash
from authz.people.sessions import ADMIN_LINK, make_link
from authz.policy.policy import load_policy
from authz.tables import Rule
from gateway.credentials.equipment import Equipment
from gateway.identity.providers import Providers
from gateway.journal.writer import open_journal
from gateway.office import Office
from gateway.pages.forms import ReadForms
from gateway.pages.problems import HANDLERS
from gateway.pages.routes import admin_routes, routes
from gateway.rendezvous.memory import MemoryRendezvous
from gateway.settings import Settings
from registry.catalogue import Catalogue, Entry, Mount, Upstream
from registry.database import Concern, Database, sqlite_url
from registry.schema import migrate
from registry.secrets.vault import Vault
from registry.tables import Auth, Era, Kind

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.types import ASGIApp

    from authz.tables import Person

PASSWORD = "correct horse battery"


@dataclass
class Desk:
    """A world to hand to pages, and what a test wants to do with it."""

    office: Office
    catalogue: Catalogue
    snapshots: Any = field(init=False)
    providers: Providers = field(init=False)
    credentials: Any = field(init=False)
    rendezvous: MemoryRendezvous = field(default_factory=MemoryRendezvous)

    def __post_init__(self) -> None:
        self.snapshots = _Fresh(self)
        self.providers = Providers(self.office)
        self.credentials = SimpleNamespace(equipment=Equipment(self.office, self.providers))

    @property
    def settings(self) -> Settings:
        return self.office.settings

    @property
    def journal(self) -> Any:
        return self.office.journal

    def person(self, handle: str, *groups: str, admin: bool = False) -> Person:
        hashed = new_hash(handle, PASSWORD)
        with self.office.database.change(Concern.PEOPLE) as session:
            person = add_person(session, handle, password_hash=hashed, is_admin=admin)
            for group in groups:
                join(session, group, person.id)
            return person

    def group(self, name: str) -> None:
        with self.office.database.change(Concern.PEOPLE) as session:
            add_group(session, name)

    def rule(self, subject: str, object_: str, action: str) -> None:
        with self.office.database.change(Concern.POLICY) as session:
            session.add(Rule(id=f"{subject}-{object_}-{action}", subject=subject, object=object_, action=action))

    def link(self, person: str = "", at: float | None = None) -> str:
        with self.office.database.change() as session:
            return make_link(session, ADMIN_LINK, time.time() if at is None else at, person=person)

    def browser(self) -> Browser:
        return Browser(TestClient(control_plane(self), base_url=self.settings.base_url, follow_redirects=False))

    def records(self, event: str) -> list[dict[str, Any]]:
        found = []
        for file in sorted((self.settings.data / "journal").rglob("*.jsonl")):
            found += [json.loads(line) for line in file.read_text().splitlines()]
        return [record for record in found if record.get("event") == event]

    def journal_text(self) -> str:
        return "".join(file.read_text() for file in (self.settings.data / "journal").rglob("*.jsonl"))


class _Fresh:
    """What the watching of epochs would lead to, without waiting for it."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    @property
    def current(self) -> Any:
        with self._desk.office.database.read() as session:
            members, policy = load_members(session), load_policy(session, 1)
        return SimpleNamespace(epoch=1, catalogue=self._desk.catalogue, policy=policy, members=members)

    async def refresh(self) -> None:
        """It always is."""


class Browser:
    """Fills in our forms as a browser would: with the hidden fields of the page that it last saw."""

    def __init__(self, client: TestClient) -> None:
        self.client = client

    def get(self, path: str, **kwargs: Any) -> Any:
        return self.client.get(path, **kwargs)

    def csrf(self, path: str) -> str:
        found = re.search(r'name="csrf" value="([0-9a-f]+)"', self.client.get(path).text)
        assert found is not None, f"{path} has no form"
        return found[1]

    def post(self, path: str, *, seen: str, headers: dict[str, str] | None = None, **fields: str) -> Any:
        return self.client.post(path, data={"csrf": self.csrf(seen), **fields}, headers=headers)

    def holding(self, token: str) -> Browser:
        """The same browser with nothing but this session cookie."""
        self.client.cookies.clear()
        self.client.cookies.set("ostiary", token)
        return self

    def sign_in(self, handle: str, password: str = PASSWORD, following: str = "/") -> Any:
        return self.post("/signin", seen="/signin", handle=handle, password=password, next=following)


def control_plane(desk: Desk) -> ASGIApp:
    app = Starlette(routes=[*routes(), *admin_routes()], exception_handlers=HANDLERS)
    app.state.world = desk
    return ReadForms(app)


def open_desk(data: Path, **settings: Any) -> Desk:
    chosen = Settings(data=data, **settings)
    database = Database(sqlite_url(data))
    migrate(database)
    vault = Vault.open(data, database, None)
    journal = open_journal(data / "journal", vault.key("journal"), database)
    office = Office(settings=chosen, database=database, vault=vault, journal=journal)
    return Desk(office, catalogue())


def catalogue(*objects: str, paused: dict[tuple[str, str], str] | None = None) -> Catalogue:
    """Tools by their canonical names, behind the default portal."""
    tools = {name.replace(".", "_"): _entry(name) for name in objects}
    servers = tuple(sorted({entry.server for entry in tools.values()}))
    empty: dict[str, Entry] = {}
    mount = Mount(
        path="/mcp",
        portal="default",
        title="",
        servers=servers,
        tools=tools,
        prompts=empty,
        resources=empty,
        templates=empty,
    )
    return Catalogue(
        epoch=1, mounts={"/mcp": mount}, upstreams={slug: _upstream(slug) for slug in servers}, paused=paused or {}
    )


def _entry(name: str) -> Entry:
    server, _, tool = name.partition(".")
    raw = json.dumps({"name": tool, "description": f"Does {tool} <b>boldly</b>. And more."}).encode()
    return Entry(
        server=server,
        kind=Kind.TOOL,
        name=tool,
        exposed=f"{server}_{tool}",
        object=name,
        digest="0" * 64,
        raw=raw,
        shown=raw,
        shown_legacy=raw,
    )


def _upstream(slug: str) -> Upstream:
    return Upstream(
        slug=slug,
        title=f"The {slug} server",
        url=f"https://{slug}.example.com/mcp",
        scheme="https",
        host=f"{slug}.example.com",
        port=443,
        target="/mcp",
        era=Era.MODERN,
        protocol_version="2026-07-28",
        auth=Auth.NONE,
        capabilities={},
    )
