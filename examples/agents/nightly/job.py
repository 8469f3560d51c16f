"""An unattended job: it reads a notebook for somebody, night after night, and says in one sentence why it could not.

It ends with 0 and the report on standard output; with 75 if the door was away or busy and stayed so (start it again
later); with 77 if somebody has taken the right away (a person has to look, and starting it again is of no use).
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from typing import TYPE_CHECKING, Any

import httpx2
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CONNECTION_CLOSED, REQUEST_TIMEOUT, TextContent

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

DOOR = os.environ["DOOR_URL"].rstrip("/")
SCOPE = "notes.list notes.read"
EARLY = 15.0  # seconds before its end at which a token is replaced
WAITS = (0.5, 1, 2, 4)  # seconds before another try
LONGEST_WAIT = 30.0  # seconds that the door may ask us to wait; for more, another night is better
BUSY = {429, 500, 502, 503, 504}


class Over(Exception):
    """Only a person can change this."""


class Later(Exception):
    """This may go better in `wait` seconds."""

    def __init__(self, why: str, wait: float = 0) -> None:
        super().__init__(why)
        self.wait = wait


class Delegated(httpx2.Auth):
    """The token of this job: fetched when it is needed, replaced early, and once more when the door answers 401."""

    def __init__(self) -> None:
        self._token = ""
        self._use_until = 0.0

    async def async_auth_flow(self, request: httpx2.Request) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        if time.monotonic() >= self._use_until:
            await self._renew()
        response = yield self._carrying(request)
        if response.status_code == 401:  # the clocks differ, or it was cut off: the next exchange tells which
            await self._renew()
            response = yield self._carrying(request)
            if response.status_code == 401:
                raise Over("the door does not take the token that it has just given")
        if response.status_code in BUSY:
            raise busy(response)

    def _carrying(self, request: httpx2.Request) -> httpx2.Request:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request

    async def _renew(self) -> None:
        """RFC 8693: the delegation for a token that covers what this job does, and nothing else."""
        asked = {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token_type": "urn:ostiary:params:oauth:token-type:delegation",
            "subject_token": os.environ["DOOR_DELEGATION"],
            "scope": SCOPE,
        }
        credentials = (os.environ["DOOR_CLIENT_ID"], os.environ["DOOR_CLIENT_SECRET"])
        began = time.monotonic()
        async with httpx2.AsyncClient(auth=credentials, timeout=30) as http:
            answer = await http.post(f"{DOOR}/oauth/token", data=asked)
        if answer.status_code in BUSY:
            raise busy(answer)
        said = answer.json()
        if answer.is_error:
            raise Over(f"the door gives no token: {said.get('error_description', said['error'])}")
        if missing := set(SCOPE.split()) - set(said["scope"].split()):
            raise Over(f"not allowed any more: {', '.join(sorted(missing))}")
        self._token, self._use_until = said["access_token"], began + said["expires_in"] - EARLY


def busy(answer: httpx2.Response) -> Later:
    asked = answer.headers.get("retry-after", "0")
    return Later(f"the door answers {answer.status_code}", float(asked) if asked.isdigit() else 0)


async def patiently(auth: Delegated) -> str:
    """The report, begun again while that is of use. Reading twice does no harm; do not do this with what writes."""
    for wait in WAITS:
        try:
            return await report(auth)
        except (Later, httpx2.TransportError) as trouble:
            asked = trouble.wait if isinstance(trouble, Later) else 0
            if asked > LONGEST_WAIT:
                raise
            await asyncio.sleep(max(wait, asked))
    return await report(auth)


async def report(auth: Delegated) -> str:
    """Whole or not at all: half a report looks like a short night."""
    try:
        async with (
            httpx2.AsyncClient(auth=auth, timeout=60) as http,
            Client(streamable_http_client(f"{DOOR}/mcp", http_client=http)) as client,
        ):
            listed = await use(client, "notes_list")
            notes = [await use(client, "notes_read", note_id=note["id"]) for note in listed["notes"]]
    except (ExceptionGroup, MCPError) as error:
        raise meaning(error) from error
    return "\n".join(f"{note['title']}: {len(note['text'])} characters" for note in notes)


async def use(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    result = await client.call_tool(tool, arguments)
    if result.is_error:  # with a decision it is the door that refuses; without one the tool has failed
        text = " ".join(block.text for block in result.content if isinstance(block, TextContent))
        raise Over(text) if "dev.ostiary/decision" in (result.meta or {}) else Later(f"{tool} failed: {text}")
    return result.structured_content or {}


def meaning(error: Exception) -> Exception:
    """What to do about it. The tasks of the SDK raise groups, in which a closed connection may be the mere echo."""
    if isinstance(error, MCPError):
        return (Later if error.code in {CONNECTION_CLOSED, REQUEST_TIMEOUT} else Over)(str(error))
    if isinstance(error, ExceptionGroup):
        ours = error.subgroup((Over, Later, httpx2.TransportError)) or error
        return meaning(ours.exceptions[0])
    return error


def main() -> int:
    try:
        print(asyncio.run(patiently(Delegated())))
    except Over as over:
        print(f"nightly: {over}", file=sys.stderr)
        return 77  # EX_NOPERM of sysexits.h
    except (Later, httpx2.TransportError) as trouble:
        print(f"nightly: no report now, by way of {DOOR}: {trouble}", file=sys.stderr)
        return 75  # EX_TEMPFAIL
    return 0


if __name__ == "__main__":
    sys.exit(main())
