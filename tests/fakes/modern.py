"""The smallest modern client: one request, one answer, nothing between the test and the wire."""

from __future__ import annotations

from typing import Any

import httpx2

VERSION = "2026-07-28"
NAMED = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}


def meta(**more: Any) -> dict[str, Any]:
    return {
        "io.modelcontextprotocol/protocolVersion": VERSION,
        "io.modelcontextprotocol/clientCapabilities": {},
        **more,
    }


def headers(method: str, token: str, **params: Any) -> dict[str, str]:
    named = {"Mcp-Name": params[NAMED[method]]} if method in NAMED else {}
    return {
        "Authorization": f"Bearer {token}",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": VERSION,
        "Mcp-Method": method,
        **named,
    }


def ask(url: str, token: str, method: str, **params: Any) -> httpx2.Response:
    """The whole HTTP response to one request."""
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": meta()}}
    return httpx2.post(url, json=body, headers=headers(method, token, **params), timeout=30)


def result(url: str, token: str, method: str, **params: Any) -> dict[str, Any]:
    """The result of one request that must have one."""
    answer: dict[str, Any] = ask(url, token, method, **params).json()
    assert "result" in answer, answer
    found: dict[str, Any] = answer["result"]
    return found
