"""An MCP server that wants tokens, and the authorization server that gives them: one address on loopback.

Both do as they are told, also what neither should. `with serving(Upstream()) as fake:`; `fake.url` is the server,
`fake.issuer` its authorization server, `fake.arrive(departure_url, "alice")` is the person who agrees.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from tests.fakes.providers.openid import Heard, Reply, listening
from tests.fakes.servers.upstream_authority import Account, Authority

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

BEARER = "Bearer "
MODERN = "2026-07-28"
Fake = TypeVar("Fake", bound=Authority)


class Upstream(Authority):
    """An authority with an MCP server of the modern era: `whoami` says whose token it was, `write` wants a scope.

    `challenge` is what a 401 adds to its header, such as `scope="read"`; `authorities` names other issuers than itself.
    """

    def __init__(self, prefix: str = "", path: str = "/mcp") -> None:
        super().__init__(prefix)
        self.path = path
        self.challenge = ""
        self.announces = True  # the 401 says where the metadata is
        self.authorities: list[str] | None = None
        self.resource_metadata: dict[str, Any] = {}
        self.scopes: dict[str, str] = {"write": "notes:write"}  # what each tool wants
        self.calls: list[tuple[str, str]] = []  # (tool, person)
        self.open_lists = False  # whether it lists without a token

    @property
    def url(self) -> str:
        return self.origin + self.path

    @property
    def metadata_url(self) -> str:
        return f"{self.origin}/.well-known/oauth-protected-resource{self.path}"

    def reply(self, heard: Heard) -> Reply:
        path = heard.path.split("?")[0]
        if path in self.replies:
            return self.replies[path](heard)
        if path == f"/.well-known/oauth-protected-resource{self.path}":
            said = {"resource": self.url, "authorization_servers": self.authorities or [self.issuer]}
            merged = said | self.resource_metadata
            return Reply(200, {name: value for name, value in merged.items() if value is not None})
        return self.mcp(heard) if path == self.path else super().reply(heard)

    def mcp(self, heard: Heard) -> Reply:
        if heard.method != "POST":
            return Reply(405, b"", (("Allow", "POST"),))
        message = json.loads(heard.body)
        account = self.accounts.get(heard.headers.get("authorization", "").removeprefix(BEARER))
        if account is None and not (self.open_lists and message["method"] != "tools/call"):
            return self.unauthorized()
        if message.get("method") == "tools/call":
            return self.call(message, account) if account is not None else self.unauthorized()
        return self.answered(message, self.said(message.get("method")))

    def unauthorized(self) -> Reply:
        parts = [f'resource_metadata="{self.metadata_url}"'] if self.announces else []
        value = ", ".join([*parts, *([self.challenge] if self.challenge else [])])
        return Reply(401, {"error": "invalid_token"}, (("WWW-Authenticate", f"Bearer {value}".strip()),))

    def call(self, message: dict[str, Any], account: Account) -> Reply:
        tool = message["params"]["name"]
        wanted = self.scopes.get(tool, "")
        if wanted and wanted not in account.scopes:
            header = f'Bearer error="insufficient_scope", scope="{wanted}", resource_metadata="{self.metadata_url}"'
            return Reply(403, {"error": "insufficient_scope"}, (("WWW-Authenticate", header),))
        self.calls.append((tool, account.person))
        text = json.dumps({"tool": tool, "person": account.person})
        return self.answered(message, {"content": [{"type": "text", "text": text}], "isError": False})

    def said(self, method: str | None) -> dict[str, Any] | None:
        caching = {"ttlMs": 0, "cacheScope": "private"}
        if method == "server/discover":
            return {"supportedVersions": [MODERN], "capabilities": {"tools": {}}, **caching}
        if method == "tools/list":
            schema = {"type": "object", "properties": {}}
            tools = ({"name": name, "description": name, "inputSchema": schema} for name in ("whoami", "write"))
            return {"tools": list(tools), **caching}
        return None

    def answered(self, message: dict[str, Any], result: dict[str, Any] | None) -> Reply:
        if result is None:
            error = {"code": -32601, "message": "no such method"}
            return Reply(404, {"jsonrpc": "2.0", "id": message.get("id"), "error": error})
        return Reply(200, {"jsonrpc": "2.0", "id": message["id"], "result": {"resultType": "complete", **result}})


@contextmanager
def serving(fake: Fake, tls: ssl.SSLContext | None = None) -> Iterator[Fake]:
    """While the block runs it listens."""
    with listening(fake, tls):
        yield fake
