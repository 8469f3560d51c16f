"""An agent of Pydantic AI whose tools come through the door.

The framework asks the door for its tools, gives them to the model, and sends the model's calls back through the door.
A refusal reaches the model as text. The model here is a script, so that the example runs without an account anywhere;
`MODEL=anthropic:…` (with the key of that provider) puts a real one in its place.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from mcp.client.auth.extensions.client_credentials import ClientCredentialsOAuthProvider
from pydantic_ai import Agent
from pydantic_ai.mcp import MCPToolset
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

if TYPE_CHECKING:
    from mcp.shared.auth import OAuthClientInformationFull, OAuthToken

DOOR = os.environ["DOOR_URL"].rstrip("/")
PORTAL = f"{DOOR}/mcp"
TASK = "Find the note about the door and write another one about it."


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


def toolset() -> MCPToolset[None]:
    """The portal as tools. `failed` hands a refusal to the model as the answer it is; `retry` would have it insist."""
    client_id, secret = os.environ["DOOR_CLIENT_ID"], os.environ["DOOR_CLIENT_SECRET"]
    credentials = ClientCredentialsOAuthProvider(PORTAL, Memory(), client_id, secret, issuer=DOOR)
    return MCPToolset(PORTAL, id="door", auth=credentials, tool_error_behavior="failed")


def script(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """What a model would do: look at its tools, use two of them, and say what came of it."""
    answers = [part for message in messages for part in message.parts if isinstance(part, ToolReturnPart)]
    if not answers:
        return ModelResponse(parts=[ToolCallPart("notes_search", {"query": "door"})])
    if len(answers) == 1:
        return ModelResponse(parts=[ToolCallPart("notes_add", {"title": "About the door"})])
    tools = ", ".join(sorted(tool.name for tool in info.function_tools))
    said = [f"{answer.tool_name} ({answer.outcome}): {answer.model_response_str()}" for answer in answers]
    return ModelResponse(parts=[TextPart("\n".join([f"My tools: {tools}", *said]))])


async def main() -> None:
    agent = Agent(os.environ.get("MODEL") or FunctionModel(script), toolsets=[toolset()])
    print((await agent.run(TASK)).output)


if __name__ == "__main__":
    asyncio.run(main())
