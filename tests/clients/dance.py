"""The OAuth dance of the official Python SDK, with a browser that needs no person."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from mcp import Client
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata, OAuthToken
from pydantic import AnyUrl

from tests.clients.browser import Browser

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CALLBACK = "http://127.0.0.1:33418/callback"


@dataclass
class Memory:
    """What the client keeps: its registration and its tokens."""

    tokens: OAuthToken | None = None
    client: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


@dataclass
class Dancer:
    """One person at one client; `asked` are the authorization URLs that the person was sent to."""

    home: str
    handle: str
    password: str
    memory: Memory = field(default_factory=Memory)
    asked: list[str] = field(default_factory=list)
    provider: OAuthClientProvider | None = None
    _came_back: str = ""

    @asynccontextmanager
    async def client(self, url: str, **options: Any) -> AsyncIterator[Client]:
        """A connected SDK client."""
        async with (
            create_mcp_http_client(auth=self._new_provider(url)) as http,
            Client(streamable_http_client(url, http_client=http), **options) as client,
        ):
            yield client

    def _new_provider(self, url: str) -> OAuthClientProvider:
        metadata = OAuthClientMetadata(client_name="A client of the tests", redirect_uris=[AnyUrl(CALLBACK)])
        self.provider = OAuthClientProvider(url, metadata, self.memory, self._send_to, self._answer)
        return self.provider

    async def _send_to(self, url: str) -> None:
        self.asked.append(url)
        async with Browser(self.home, self.handle, self.password) as browser:
            self._came_back = await browser.visit(url)

    async def _answer(self) -> AuthorizationCodeResult:
        assert self._came_back.startswith(CALLBACK)
        answered = {name: values[0] for name, values in parse_qs(urlsplit(self._came_back).query).items()}
        return AuthorizationCodeResult(**answered)
