"""A server that trusts a gateway: who asks, and for which tool, is in a token that it checks with the gateway's keys.

    python server.py --gateway https://gateway.example --port 8103

It keeps no accounts and no secrets. `ostiary server add trusting http://127.0.0.1:8103/mcp --auth minted` is the other
half. Without such a token nobody gets in; with one for a tool nobody calls another.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import anyio
import httpx2
import uvicorn
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from mcp.server import MCPServer
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.auth.provider import AccessToken
from mcp.server.auth.settings import AuthSettings
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import BaseModel

KEYS_LIFE = 300.0  # seconds a copy of the gateway's keys may be kept: it publishes a new key longer than that before
LEEWAY = 30  # seconds by which clocks may differ


class GatewayTokens:
    """The SDK's `TokenVerifier`: RFC 9068 section 4, check by check."""

    def __init__(self, gateway: str, audience: str) -> None:
        self._gateway, self._audience = gateway, audience
        self._keys: KeySet | None = None
        self._read_at = 0.0

    async def verify_token(self, token: str) -> AccessToken | None:
        try:
            read = jwt.decode(token, await self._published(), algorithms=["ES256"])
            self._expected().validate(read.claims)
        except (JoseError, ValueError, httpx2.HTTPError):
            return None
        claims = read.claims
        if read.header.get("typ") != "at+jwt" or claims["aud"] != self._audience:
            return None
        return AccessToken(
            token=token, client_id=claims["client_id"], scopes=claims.get("scope", "").split(),
            expires_at=claims["exp"], resource=claims["aud"], subject=claims["sub"], claims=dict(claims),
        )  # fmt: skip

    def _expected(self) -> jwt.JWTClaimsRegistry:
        said: dict[str, Any] = {name: {"essential": True} for name in ("sub", "client_id", "iat", "exp", "jti")}
        said |= {"iss": {"essential": True, "value": self._gateway}}
        return jwt.JWTClaimsRegistry(leeway=LEEWAY, **said)

    async def _published(self) -> KeySet:
        """Where the gateway's metadata says that they are (RFC 8414), read again now and then."""
        if self._keys is None or time.monotonic() > self._read_at + KEYS_LIFE:
            self._keys = await anyio.to_thread.run_sync(self._fetch)
            self._read_at = time.monotonic()
        return self._keys

    def _fetch(self) -> KeySet:
        with httpx2.Client(timeout=5, follow_redirects=False, trust_env=False) as http:
            metadata = http.get(f"{self._gateway}/.well-known/oauth-authorization-server").raise_for_status().json()
            if metadata.get("issuer") != self._gateway:
                raise ValueError("this is the metadata of another issuer")
            return KeySet.import_key_set(http.get(metadata["jwks_uri"]).raise_for_status().json())


class Asker(BaseModel):
    """Whom the gateway named."""

    person: str
    name: str
    agents: list[str]  # who acts for them, nearest first


def asker(tool: str) -> Asker:
    """Who calls `tool`, if the token is for it: `{name at the gateway}.{tool}`, one word for one tool."""
    token = get_access_token()
    if token is None or [scope.partition(".")[2] for scope in token.scopes] != [tool]:
        raise ToolError(f"This token is not for {tool}.")
    claims = token.claims or {}
    agents, act = [], claims.get("act")
    while act:
        agents.append(act["sub"])
        act = act.get("act")
    return Asker(person=claims["sub"], name=claims.get("preferred_username", ""), agents=agents)


def whoami() -> Asker:
    """Who you are to this server."""
    return asker("whoami")


def greet() -> str:
    """A greeting by name."""
    return f"Good day, {asker('greet').name}."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gateway", required=True, help="the gateway's public URL, exactly as it writes it")
    parser.add_argument("--port", type=int, default=8103)
    given = parser.parse_args()
    url = f"http://127.0.0.1:{given.port}/mcp"
    server = MCPServer(
        "trusting", title="Trusting", version="1.0.0", log_level="WARNING",
        token_verifier=GatewayTokens(given.gateway, url),
        auth=AuthSettings(issuer_url=given.gateway, resource_server_url=url, validate_token_resource=True),
    )  # fmt: skip
    server.tool()(whoami)
    server.tool()(greet)
    print(json.dumps({"url": url}), flush=True)
    uvicorn.run(server.streamable_http_app(), host="127.0.0.1", port=given.port, log_level="warning", ws="none")


if __name__ == "__main__":
    main()
