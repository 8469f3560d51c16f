"""What differs between two descriptions of a tool although it is the same one: a server tells it in its era's words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from registry.digests import digest, parse
from registry.errors import DefinitionRefused
from registry.tables import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

EXECUTION, SUPPORT = "execution", "taskSupport"


def same_tool(one: str, other: str) -> bool:
    """Whether both say the same, if one says nothing of tasks: 2025-11-25 has `execution.taskSupport` in every tool
    (schema, "ToolExecution"), 2026-07-28 nowhere, for there it is the server that makes a task of a call (SEP-2663).
    """
    try:
        first, second = parse(one), parse(other)
    except DefinitionRefused:
        return False
    if (EXECUTION in first) == (EXECUTION in second):
        return False  # whatever differs is no matter of eras
    return digest(Kind.TOOL, _without_support(first)) == digest(Kind.TOOL, _without_support(second))


def _without_support(tool: Mapping[str, Any]) -> dict[str, Any]:
    said = {name: value for name, value in tool.items() if name != EXECUTION}
    execution = tool.get(EXECUTION, {})
    if isinstance(execution, dict) and execution.keys() <= {SUPPORT}:
        return said
    return dict(tool)
