"""A provider in the shape of Microsoft Entra ID: tenants as issuers, object ids, groups that overflow into Graph."""

from __future__ import annotations

import secrets
import uuid
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.fakes.providers.openid import CLIENT, Heard, OpenIdProvider, Reply

TENANT = "11111111-2222-3333-4444-555555555555"
GRAPH_TOKEN = "graph-token-of-the-app"
OURS = uuid.UUID("99999999-0000-4000-8000-000000000000")


def object_id(person: str) -> str:
    return str(uuid.uuid5(OURS, person))


class EntraShaped(OpenIdProvider):
    """`overflowing`: tokens name no groups; Graph has them, `page_size` at a time."""

    def __init__(self, tenant: str = TENANT) -> None:
        super().__init__("RS256")
        self.tenant = tenant
        self.overflowing = False
        self.graph_reads = True
        self.page_size = 1
        self.life = 3599
        self.own_tokens: dict[str, str] = {}  # of this app itself, and whose each is
        self.lent: dict[str, tuple[str, str]] = {}  # what it gave on behalf of whom, and for what
        self.alike = ""  # how every token on behalf of somebody begins
        self.obo_error: dict[str, Any] = {}
        self.obo_answer: dict[str, Any] = {}

    @property
    def prefix(self) -> str:  # type: ignore[override]
        return f"/{self.tenant}/v2.0"

    def claims_of(self, person: str) -> dict[str, Any]:
        known = {name: value for name, value in self.people[person].items() if name != "groups"}
        entra = {"oid": object_id(person), "tid": self.tenant, "ver": "2.0", **known}
        return super().claims_of(person) | entra | self._groups(person)

    def _groups(self, person: str) -> dict[str, Any]:
        if not self.overflowing:
            return {"groups": self.people[person]["groups"]}
        evil = "https://graph.windows.net/elsewhere/getMemberObjects"
        return {"_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {"endpoint": evil}}}

    def document(self) -> dict[str, Any]:
        return super().document() | {"authorization_response_iss_parameter_supported": None} | self.metadata

    def answer(self, departure: Any, person: str = "alice", **more: str) -> Any:
        return super().answer(departure, person, **({"iss": ""} | more))

    def reply(self, heard: Heard) -> Reply:
        path = urlsplit(heard.path)
        if path.path in self.replies or not path.path.startswith("/v1.0/"):
            return super().reply(heard)
        if heard.headers.get("authorization") != f"Bearer {GRAPH_TOKEN}":
            return self._graph_as_person(heard)
        if not self.graph_reads:
            return Reply(403, {"error": {"code": "Authorization_RequestDenied"}})
        if path.path == "/v1.0/groups":
            return Reply(200, {"value": [{"id": "some"}]})
        return self._page(path.path.split("/")[3], path.path, path.query)

    def _graph_as_person(self, heard: Heard) -> Reply:
        person = heard.headers.get("authorization", "").removeprefix("Bearer at-").partition("-")[0]
        path = urlsplit(heard.path)
        if person not in self.people or not path.path.startswith("/v1.0/me/"):
            return Reply(401, {"error": {"code": "InvalidAuthenticationToken"}})
        return self._page(object_id(person), path.path, path.query)

    def _page(self, asked: str, path: str, query: str) -> Reply:
        person = next(name for name in self.people if object_id(name) == asked)
        start = int(parse_qs(query).get("$skiptoken", ["0"])[0])
        groups, end = self.people[person]["groups"], start + self.page_size
        page: dict[str, Any] = {"value": [{"id": group} for group in groups[start:end]]}
        if end < len(groups):
            page["@odata.nextLink"] = f"{self.origin}{path}?$skiptoken={end}"
        return Reply(200, page)

    def on_behalf(self, heard: Heard) -> Reply:
        """The on-behalf-of flow: for a token of this app, one of another for the same person."""
        person = self.own_tokens.get(heard.form["assertion"])
        if self.obo_error:
            return Reply(400, {"error_description": "AADSTS: call 555-EVIL", **self.obo_error})
        if person not in self.people:
            return Reply(400, {"error": "invalid_grant", "error_description": "call 555-EVIL"})
        token = f"{self.alike}obo-{person}-{secrets.token_hex(8)}"
        self.lent[token] = person, heard.form["scope"]
        answer = {"access_token": token, "token_type": "Bearer", "expires_in": 3599}
        return Reply(200, answer | {"scope": heard.form["scope"]} | self.obo_answer)

    def tokens(self, signed_in: dict[str, Any], *, renewed: bool) -> dict[str, Any]:
        """For our own app alone it asks by `.default`; any other token is for Graph, and no assertion."""
        given = super().tokens(signed_in, renewed=renewed)
        if f"{CLIENT}/.default" in signed_in.get("scope", "").split():
            self.own_tokens[given["access_token"]] = signed_in["person"]
        return given | {"expires_in": self.life}

    def token(self, heard: Heard) -> Reply:
        if heard.form.get("requested_token_use") == "on_behalf_of" and self.knows_client(heard):
            return self.on_behalf(heard)
        if heard.form.get("grant_type") == "client_credentials" and self.knows_client(heard):
            return Reply(200, {"access_token": GRAPH_TOKEN, "token_type": "Bearer", "expires_in": 3599})
        return super().token(heard)
