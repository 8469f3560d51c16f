"""A house with tools, rules and agents in it, and what agents do with what they are given."""

from __future__ import annotations

import base64
import json
import time
from typing import TYPE_CHECKING, Any

from authz.clients.known import TOKEN_EXCHANGE
from authz.policy.rules import Draft, write_rule
from authz.tables import Client, Person
from authz.tokens import delegations
from registry.database import Concern
from registry.tables import Definition, ExposedName, Kind, Pin
from tests.fakes.door import MODERN, modern
from tests.gateway.oauth.house import House

if TYPE_CHECKING:
    from pathlib import Path

    import httpx2

    from authz.tables import Delegation

TYPE = "urn:ietf:params:oauth:token-type:"
ACCESS_TOKEN = f"{TYPE}access_token"
DELEGATION = "urn:ostiary:params:oauth:token-type:delegation"
EVERYBODY = "group:everybody"


class Market(House):
    """`notes` offers add, list and delete; `clock` offers now. Whoever is told so may use them."""

    def __init__(self, data: Path, **settings: Any) -> None:
        super().__init__(data, **settings)
        self.offer("notes", "add", "list", "delete")
        self.mount("clock")
        self.offer("clock", "now")

    def offer(self, server: str, *tools: str) -> None:
        """Approved tools, as a review leaves them."""
        with self.office.database.change(Concern.CATALOGUE) as session:
            for name in tools:
                raw = json.dumps({"name": name, "inputSchema": {"type": "object"}})
                key: dict[str, Any] = {"server": server, "kind": Kind.TOOL, "name": name}
                session.merge(Definition(**key, raw=raw, digest=f"d-{name}", last_seen=time.time()))
                session.merge(Pin(**key, raw=raw, digest=f"d-{name}", approved_by="user:admin", approved_at=1))
                session.merge(ExposedName(exposed=f"{server}_{name}", kind=Kind.TOOL, server=server, name=name))

    def drift(self, server: str, tool: str) -> None:
        """As if the tool had changed since it was approved."""
        with self.office.database.change(Concern.CATALOGUE) as session:
            session.get_one(Definition, (server, Kind.TOOL, tool)).digest = "changed"

    def allow(self, who: Person | Client, *things: str, effect: str = "allow", action: str = "call") -> list[str]:
        """Rules about one person or agent; gives their ids."""
        kind = "agent" if isinstance(who, Client) else "user"
        with self.office.database.change(Concern.POLICY) as session:
            drafts = [
                Draft(subject=f"{kind}:{who.handle}", object=thing, action=action, effect=effect) for thing in things
            ]
            return [write_rule(session, draft, who="operator:test", now=time.time()).id for draft in drafts]

    def allow_group(self, group: str, *things: str) -> None:
        with self.office.database.change(Concern.POLICY) as session:
            for thing in things:
                draft = Draft(subject=f"group:{group}", object=thing, action="call")
                write_rule(session, draft, who="operator:test", now=time.time())

    def allowed(self, *things: str) -> Person:
        person = self.person()
        self.allow(person, *things)
        return person

    def worker(self, *things: str) -> tuple[Client, str]:
        """An agent that may use these itself, and its secret."""
        agent, secret = self.agent()
        if things:
            self.allow(agent, *things)
        return agent, secret

    def exchanger(self, **more: Any) -> tuple[Client, str]:
        """A client with a secret that may exchange tokens, and get them with a code."""
        client, secret = self.confidential(**more)
        with self.office.database.change(Concern.PEOPLE) as session:
            row = session.get_one(Client, client.id)
            row.grant_types = [*row.grant_types, TOKEN_EXCHANGE]
        return client, secret

    def token_of(self, person: Person, **more: str) -> str:
        """An access token of a person, by way of some client."""
        token: str = self.tokens(person, self.client(), **more)["access_token"]
        return token

    def token_as(self, agent: tuple[Client, str], **more: str) -> str:
        """An access token of an agent itself."""
        got = self.token({"grant_type": "client_credentials", **more}, (agent[0].id, agent[1]))
        assert got.status_code == 200, got.text
        token: str = got.json()["access_token"]
        return token

    def exchange(
        self, client: tuple[Client, str], subject: str, kind: str = ACCESS_TOKEN, **more: Any
    ) -> httpx2.Response:
        """POST /oauth/token; a parameter given as None is left away."""
        form: dict[str, str | None] = {
            "grant_type": TOKEN_EXCHANGE, "subject_token": subject, "subject_token_type": kind, **more,
        }  # fmt: skip
        said = {name: value for name, value in form.items() if value is not None}
        return self.token(said, (client[0].id, client[1]))

    def exchanged(
        self, client: tuple[Client, str], subject: str, kind: str = ACCESS_TOKEN, **more: Any
    ) -> dict[str, Any]:
        got = self.exchange(client, subject, kind, **more)
        assert got.status_code == 200, got.text
        given: dict[str, Any] = got.json()
        return given

    def delegate(self, person: Person, agent: Client, *scopes: str, life: float = 3600, uses: int | None = None) -> str:
        draft = delegations.Draft(
            person=person, agent=agent, scopes=frozenset(scopes), expires_at=time.time() + life, uses=uses
        )
        with self.office.database.change() as session:
            return delegations.delegate(session, draft, who=f"user:{person.handle}", now=time.time()).id

    def delegation(self, id_: str) -> Delegation:
        with self.office.database.read() as session:
            return delegations.find(session, id_)

    def end(self, id_: str) -> None:
        with self.office.database.change(Concern.CUTOFFS) as session:
            delegations.end(session, delegations.find(session, id_), time.time())

    def ask(self, token: str, method: str, path: str = "/mcp", **params: Any) -> httpx2.Response:
        """A request of today with this token."""
        headers, body = modern(token, method, params)
        with self.http() as http:
            return http.post(path, content=body, headers=headers)

    def tools(self, token: str, path: str = "/mcp") -> set[str]:
        """The tools that are listed to whoever holds this token."""
        got = self.ask(token, "tools/list", path)
        assert got.status_code == 200, got.text
        return {tool["name"] for tool in got.json()["result"]["tools"]}


def claims_of(token: str) -> dict[str, Any]:
    """What our token says, unproved."""
    body = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return claims


def error_of(response: httpx2.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]


__all__ = ["ACCESS_TOKEN", "DELEGATION", "MODERN", "TYPE", "Market", "claims_of", "error_of"]
