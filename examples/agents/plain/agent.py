"""An agent as itself: it gets its own token, lists what it may see, calls tools, and takes no for an answer.

The SDK does the rest: it finds the authorization server, asks for a token, and asks again when the token has expired.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING, Any

import httpx2
from mcp import Client, MCPError
from mcp.client.auth import OAuthFlowError
from mcp.client.auth.extensions.client_credentials import ClientCredentialsOAuthProvider
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult, TextContent

if TYPE_CHECKING:
    from mcp.shared.auth import OAuthClientInformationFull, OAuthToken

DOOR = os.environ["DOOR_URL"].rstrip("/")
PORTAL = f"{DOOR}/mcp"


class Memory:
    """Where the SDK keeps its token: in this process, and nowhere else."""

    tokens: OAuthToken | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return None

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None: ...


def credentials() -> ClientCredentialsOAuthProvider:
    """`issuer` ties the secret to this door: it is sent nowhere else, whatever an answer says."""
    client_id, secret = os.environ["DOOR_CLIENT_ID"], os.environ["DOOR_CLIENT_SECRET"]
    return ClientCredentialsOAuthProvider(PORTAL, Memory(), client_id, secret, issuer=DOOR)


def text(result: CallToolResult) -> str:
    return "\n".join(block.text for block in result.content if isinstance(block, TextContent))


async def use(client: Client, tool: str, arguments: dict[str, Any]) -> None:
    """One call. A refusal is an answer: it says why and what to do, and asking again would not change it."""
    try:
        result = await client.call_tool(tool, arguments)
    except MCPError as error:  # there is no such tool, or not for us: the door does not say which
        print(f"{tool} could not be called: {error}", file=sys.stderr)
        return
    if not result.is_error:
        print(f"{tool}: {text(result)}")
        return
    decision = (result.meta or {}).get("dev.ostiary/decision")
    said_by = f"refused (decision {decision})" if decision else "failed at its server"
    print(f"{tool} {said_by}: {text(result)}", file=sys.stderr)


async def main() -> None:
    async with (
        httpx2.AsyncClient(auth=credentials(), timeout=30) as http,
        Client(streamable_http_client(PORTAL, http_client=http)) as client,
    ):
        tools = (await client.list_tools()).tools
        print("tools:", ", ".join(tool.name for tool in tools))
        await use(client, "clock_now", {"zone": "UTC"})
        await use(client, "notes_search", {"query": "door"})
        await use(client, "notes_add", {"title": "From an agent"})


def first(error: BaseException) -> BaseException:
    """What went wrong: tasks of the SDK raise groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except* (OAuthFlowError, httpx2.TransportError) as errors:
        sys.exit(f"The door at {DOOR} did not let us in: {first(errors)}")
