"""The requests that are sent, byte for byte."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

LATEST = "2026-07-28"
LAST_HANDSHAKE = "2025-11-25"
ENVELOPE = "io.modelcontextprotocol/"


@dataclass(frozen=True, slots=True)
class Door:
    """Where requests are sent: a URL, and the token that is wanted there (none for a door that is no gateway)."""

    url: str
    token: str = ""

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or 80


def modern(door: Door, method: str, params: dict[str, Any]) -> str:
    meta = {ENVELOPE + "protocolVersion": LATEST, ENVELOPE + "clientCapabilities": {}}
    headers = {"MCP-Protocol-Version": LATEST, "Mcp-Method": method}
    if "name" in params:
        headers["Mcp-Name"] = params["name"]
    return _post(door, headers, {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": meta}})


def legacy(door: Door, method: str, params: dict[str, Any], session: str) -> str:
    headers = {"MCP-Protocol-Version": LAST_HANDSHAKE, "Mcp-Session-Id": session}
    return _post(door, headers, {"jsonrpc": "2.0", "id": 1, "method": method, "params": params})


def initialize(door: Door) -> str:
    params = {"protocolVersion": LAST_HANDSHAKE, "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}
    return _post(door, {}, {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params})


def initialized(door: Door, session: str) -> str:
    headers = {"MCP-Protocol-Version": LAST_HANDSHAKE, "Mcp-Session-Id": session}
    return _post(door, headers, {"jsonrpc": "2.0", "method": "notifications/initialized"})


def call(door: Door, era: str, size: int, session: str = "") -> str:
    """`tools/call` of the echo with `size` bytes of text."""
    params = {"name": "echo", "arguments": {"text": "x" * size}}
    return modern(door, "tools/call", params) if era == "modern" else legacy(door, "tools/call", params, session)


def goodbye(door: Door, session: str) -> str:
    """The end of a legacy session."""
    parts = urlsplit(door.url)
    token = f"Authorization: Bearer {door.token}\r\n" if door.token else ""
    return f"DELETE {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n{token}Mcp-Session-Id: {session}\r\n\r\n"


def _post(door: Door, headers: dict[str, str], message: dict[str, Any]) -> str:
    parts = urlsplit(door.url)
    body = json.dumps(message, separators=(",", ":"))
    lines = {
        "Host": parts.netloc,
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        **({"Authorization": f"Bearer {door.token}"} if door.token else {}),
        **headers,
        "Content-Length": str(len(body)),
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"POST {parts.path} HTTP/1.1\r\n{head}\r\n{body}"
