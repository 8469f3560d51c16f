"""How each common client is told about a portal: a line, a file or a link to paste, made from the portal's URL."""

from __future__ import annotations

import base64
import json
import shlex
from dataclasses import dataclass
from urllib.parse import quote, urlencode

NAME = "ostiary"

_PYTHON = """\
import asyncio, os, httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

URL = "{url}"
HEADERS = {{"Authorization": f"Bearer {{os.environ['MCP_TOKEN']}}"}}

async def main():
    async with httpx2.AsyncClient(headers=HEADERS) as http:
        async with Client(streamable_http_client(URL, http_client=http)) as client:
            print([tool.name for tool in (await client.list_tools()).tools])

asyncio.run(main())"""


@dataclass(frozen=True, slots=True)
class Setup:
    """`how` says where `text` goes; `link` opens the client with everything filled in. `needs_https`: it calls from a
    cloud, so it can neither reach a loopback address nor trust plain http; `text` is how to give it one, then.
    """

    name: str
    how: str
    text: str
    needs_https: bool = False
    link: str = ""


def setups(portal_url: str) -> list[Setup]:
    """All clients, those on this machine first."""
    return [*_local(portal_url), *_in_a_cloud(portal_url)]


def _local(url: str) -> list[Setup]:
    entry = {"type": "http", "url": url}
    vscode = json.dumps({"name": NAME, **entry})
    return [
        Setup("Claude Code", "Run in a shell, then /mcp to sign in.", f"claude mcp add --transport http {NAME} {url}"),
        Setup(
            "Cursor",
            "Put it into .cursor/mcp.json, or open the link.",
            json.dumps({"mcpServers": {NAME: {"url": url}}}),
            link=_cursor_link(url),
        ),
        Setup(
            "VS Code",
            "Run in a shell, or open the link.",
            f"code --add-mcp {shlex.quote(vscode)}",
            link=f"vscode:mcp/install?{quote(vscode)}",
        ),
        Setup(
            "MCP Inspector",
            "Run in a shell, then Connect in the page that opens; it leads to the sign-in.",
            f"npx @modelcontextprotocol/inspector --transport http --server-url {url}",
        ),
        Setup(
            "Python SDK",
            "MCP_TOKEN is a personal token (/account/tokens), or the last line of `ostiary token issue --user NAME`.",
            _PYTHON.format(url=url),
        ),
    ]


def _in_a_cloud(url: str) -> list[Setup]:
    return [
        Setup("claude.ai connectors", "Settings, Connectors, Add custom connector.", _reachable(url), needs_https=True),
        Setup(
            "ChatGPT",
            "Settings, Apps & Connectors, developer mode, Create; choose OAuth.",
            _reachable(url),
            needs_https=True,
        ),
    ]


def _reachable(url: str) -> str:
    return url if url.startswith("https://") else "ostiary up --public-url https://mcp.example.com"


def _cursor_link(url: str) -> str:
    config = base64.b64encode(json.dumps({"url": url}).encode()).decode()
    return f"cursor://anysphere.cursor-deeplink/mcp/install?{urlencode({'name': NAME, 'config': config})}"
