"""A registry with a few words for what tests do with it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from registry.approving import Approval, Approver, approve
from registry.catalogue.assembling import load_catalogue
from registry.database import Concern, Database, sqlite_url
from registry.observing import Observation, Seen, observe
from registry.reviewing import Item, review
from registry.schema import migrate
from registry.screening import Described
from registry.secrets.vault import Vault
from registry.servers import Proposal, propose
from registry.tables import Era, Kind, Server

if TYPE_CHECKING:
    from pathlib import Path

    from registry.catalogue import Catalogue

ALONE = Approver(name="operator:root", signed_in=False, admins=1)


def tool(name: str, description: str = "Does a thing.", **more: Any) -> Described:
    value = {"name": name, "description": description, "inputSchema": {"type": "object"}} | more
    return Described(Kind.TOOL, name, json.dumps(value, ensure_ascii=False))


def resource(uri: str, name: str = "a resource") -> Described:
    return Described(Kind.RESOURCE, uri, json.dumps({"uri": uri, "name": name}))


def template(uri: str) -> Described:
    return Described(Kind.TEMPLATE, uri, json.dumps({"uriTemplate": uri, "name": "a template"}))


def words(instructions: str) -> Described:
    return Described(Kind.SERVER, "server", json.dumps({"name": "n", "instructions": instructions}))


class Shelf:
    def __init__(self, data: Path, database: Database | None = None) -> None:
        self.data = data
        self.database = database or Database(sqlite_url(data))
        migrate(self.database)
        self.vault = Vault.open(data, self.database, None)

    def add(self, slug: str, url: str = "", *, who: str = "operator:root", **more: Any) -> None:
        asked = Proposal(slug=slug, url=url or f"https://{slug}.example.com/mcp", **more)
        with self.database.change(Concern.CATALOGUE) as session:
            propose(session, asked, who=who, exceptions=(), vault=self.vault)

    def see(self, slug: str, *definitions: Described, era: Era = Era.MODERN) -> Observation:
        seen = Seen(era=era, protocol_version="2026-07-28", capabilities={"tools": {}}, definitions=definitions)
        with self.database.change(Concern.CATALOGUE) as session:
            return observe(session, slug, seen)

    def approve(
        self, slug: str, shown: dict[tuple[str, str], str] | None = None, by: Approver = ALONE, *, accept: bool = False
    ) -> Approval:
        with self.database.change(Concern.CATALOGUE) as session:
            if shown is None:
                shown = review(session, slug).digests(flagged=accept)
            return approve(session, slug, shown, by=by, accept_findings=accept)

    def approved(self, slug: str, *definitions: Described) -> None:
        """Added, seen and approved in one go."""
        self.add(slug)
        self.see(slug, *definitions)
        self.approve(slug)

    def items(self, slug: str) -> dict[str, Item]:
        with self.database.read() as session:
            return {item.name: item for item in review(session, slug).items}

    def rules(self, slug: str, name: str) -> set[str]:
        """The rules that found something in a definition."""
        return {finding.rule for finding in self.items(slug)[name].findings}

    def server(self, slug: str) -> Server:
        with self.database.read() as session:
            return session.get_one(Server, slug)

    def catalogue(self) -> Catalogue:
        with self.database.read() as session:
            return load_catalogue(session, 1)

    def tools(self, path: str = "/mcp") -> list[str]:
        mount = self.catalogue().mounts.get(path)
        return list(mount.tools) if mount else []
