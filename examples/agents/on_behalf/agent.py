"""An agent that acts for a person who is away: one tool, one token.

The person has given it a delegation. For each call it exchanges that (RFC 8693) for a token that is good for this one
tool of this one server and for two minutes at most, uses it, and forgets it. Both the person and the agent must be
allowed what it does, and both are on record.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult, TextContent

DOOR = os.environ["DOOR_URL"].rstrip("/")
DELEGATION = "urn:ostiary:params:oauth:token-type:delegation"
TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105 - the name of a grant


class Refused(Exception):
    """There is no token for this. `error` is a word of RFC 6749 or RFC 8693, and the text says why."""

    def __init__(self, error: str, why: str) -> None:
        super().__init__(why)
        self.error = error


async def exchange(server: str, tool: str) -> str:
    """A token for one tool: `scope` names it, `resource` is the address that the token is good at."""
    asked = {
        "grant_type": TOKEN_EXCHANGE,
        "subject_token_type": DELEGATION,
        "subject_token": os.environ["DOOR_DELEGATION"],
        "scope": f"{server}.{tool}",
        "resource": f"{DOOR}/servers/{server}/mcp",
    }
    credentials = (os.environ["DOOR_CLIENT_ID"], os.environ["DOOR_CLIENT_SECRET"])
    async with httpx2.AsyncClient(auth=credentials, timeout=30) as http:
        answer = await http.post(f"{DOOR}/oauth/token", data=asked)
    said = answer.json()
    if answer.is_error:
        raise Refused(said["error"], said.get("error_description", "no reason was given"))
    token: str = said["access_token"]
    return token


async def call(server: str, tool: str, arguments: dict[str, Any]) -> CallToolResult:
    """One call with a token of its own. At its own address a server's tools have the names that it gave them."""
    headers = {"Authorization": f"Bearer {await exchange(server, tool)}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=30) as http,
        Client(streamable_http_client(f"{DOOR}/servers/{server}/mcp", http_client=http), mode="2026-07-28") as client,
    ):
        return await client.call_tool(tool, arguments)


async def use(server: str, tool: str, arguments: dict[str, Any]) -> None:
    """What is not within the delegation gets no token, and the rest may still go on; any other refusal ends it all."""
    try:
        result = await call(server, tool, arguments)
    except Refused as refused:
        if refused.error != "invalid_scope":
            raise
        print(f"{server}.{tool}: no token: {refused}", file=sys.stderr)
        return
    text = "\n".join(block.text for block in result.content if isinstance(block, TextContent))
    print(f"{server}.{tool}: {text}", file=sys.stderr if result.is_error else sys.stdout)


async def main() -> None:
    await use("notes", "search", {"query": "door"})
    await use("notes", "add", {"title": "Written for somebody who is away"})
    await use("notes", "delete", {"note_id": "n1"})  # outside of the delegation: refused before anything is called


def first(error: BaseException) -> BaseException:
    """What went wrong: tasks of the SDK raise groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except* Refused as errors:
        sys.exit(f"The door gives us no token: {first(errors)}")
    except* httpx2.TransportError as errors:
        sys.exit(f"The door at {DOOR} cannot be reached: {first(errors)}")
