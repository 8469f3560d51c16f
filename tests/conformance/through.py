"""The suite's server behind the whole gateway, and an SDK client before it that uses everything that it finds."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import httpx2
from mcp import Client, MCPError, types
from mcp.client.streamable_http import streamable_http_client

from gateway.upstream import AskRefused
from tests.fakes.gateway import CommandFailed, Gateway

if TYPE_CHECKING:
    from pathlib import Path

MODERN = "2026-07-28"
FOCAL, ECHO = "json_schema_2020_12_tool", "json_schema_echo"  # the schema of the one is handed to the other
SAMPLES: dict[str, Any] = {"string": "text", "integer": 3, "number": 5, "boolean": True, "array": [], "object": {}}

log = logging.getLogger("driver")


class Nobody:
    """Nobody hears what a server says before its answer."""

    async def notify(self, method: str, params: bytes) -> None:
        """Goes nowhere."""

    async def request(self, method: str, params: bytes) -> bytes:
        raise AskRefused(b'{"code":-32601,"message":"nobody can be asked"}')

    def refuses(self, method: str, params: bytes) -> str:
        return "nobody can be asked"


def run(data: Path, url: str, revision: str, context: dict[str, Any]) -> None:
    """Registers the server, approves what it offers, and has somebody use it."""
    with Gateway(data) as gateway:
        _register(gateway, url)
        gateway.add_user("suite")
        gateway.allow("user:suite", "suite.*")
        mount = "/servers/suite/mcp"
        try:
            asyncio.run(_use(gateway.url + mount, gateway.token("suite", mount), revision, context))
        finally:
            log.info("%s", gateway.output()[-2000:])


def _register(gateway: Gateway, url: str) -> None:
    """Some of the suite's servers turn the first request away; an administrator tries again."""
    try:
        gateway.add_server("suite", url)
    except CommandFailed as failed:
        log.info("%s", failed)
        gateway.run("server", "approve", "suite", "--yes", "--accept-findings")


async def _use(url: str, token: str, revision: str, context: dict[str, Any]) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    mode = revision if revision == MODERN else "legacy"
    async with (
        httpx2.AsyncClient(headers=headers, timeout=30, trust_env=False) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode, elicitation_callback=_accept) as client,
    ):
        tools = (await client.list_tools()).tools
        for name, arguments in _calls(tools, context):
            log.info("calling %s", name)
            with suppress(MCPError):  # what a server is asked is looked at there
                log.info("%s", await client.call_tool(name, arguments))
        with suppress(MCPError):
            for prompt in (await client.list_prompts()).prompts:
                await client.get_prompt(prompt.name, {one.name: "text" for one in prompt.arguments or ()})
        with suppress(MCPError):
            for resource in (await client.list_resources()).resources:
                await client.read_resource(resource.uri)


def _calls(tools: list[types.Tool], context: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """What the suite wants called, or each tool once with something that fits its schema."""
    if "toolCalls" in context:
        return [(call["name"], call["arguments"]) for call in context["toolCalls"]]
    schemas = {tool.name: tool.input_schema for tool in tools}
    if ECHO in schemas:
        return [(ECHO, {"schema": schema}) for name, schema in schemas.items() if name != ECHO]
    return [(name, _sample(schema)) for name, schema in schemas.items()]


def _sample(schema: dict[str, Any]) -> dict[str, Any]:
    properties = schema.get("properties", {})
    return {name: SAMPLES.get(properties.get(name, {}).get("type", ""), "text") for name in schema.get("required", ())}


async def _accept(
    context: Any,
    params: types.ElicitRequestParams,
) -> types.ElicitResult | types.ErrorData:
    """Yes, with the defaults that the form has (SEP-1034)."""
    if not isinstance(params, types.ElicitRequestFormParams):
        return types.ElicitResult(action="decline")
    fields = params.requested_schema.get("properties", {})
    return types.ElicitResult(
        action="accept",
        content={name: field.get("default", SAMPLES.get(field.get("type", ""))) for name, field in fields.items()},
    )
