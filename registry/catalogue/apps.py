"""MCP Apps (extension io.modelcontextprotocol/ui, SEP-1865): pages of tools, and tools that only such pages call.

A tool names its page by a `ui://` URI, in `_meta.ui.resourceUri` or in the older flat key; a page need not be listed. A
tool whose visibility is `["app"]` is for the pages of its own server and no model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from msgspec import Raw

SCHEME: Final = "ui://"
_FLAT: Final = "ui/resourceUri"
_MODEL: Final = "model"

_members: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode: Final = msgspec.json.encode


def page_of(tool: Mapping[str, Raw]) -> str:
    """The URI of the page that a tool is shown with; empty when it has none."""
    meta = _meta(tool)
    said = _ui(meta).get("resourceUri", meta.get(_FLAT))
    return said if isinstance(said, str) and said.startswith(SCHEME) else ""


def is_for_apps(tool: Mapping[str, Raw]) -> bool:
    """Whether no model is meant to call it."""
    visibility = _ui(_meta(tool)).get("visibility")
    return isinstance(visibility, list) and bool(visibility) and _MODEL not in visibility


def without_page(tool: Mapping[str, Raw]) -> dict[str, Raw]:
    """The tool as one without a page; all else as it was."""
    meta = _members(tool["_meta"])
    meta.pop(_FLAT, None)
    if "ui" in meta:
        ui = _members(meta["ui"])
        ui.pop("resourceUri", None)
        meta["ui"] = msgspec.Raw(_encode(ui))
    return {**tool, "_meta": msgspec.Raw(_encode(meta))}


def _meta(tool: Mapping[str, Raw]) -> dict[str, Any]:
    raw = tool.get("_meta")
    meta = msgspec.json.decode(raw) if raw is not None else None
    return meta if isinstance(meta, dict) else {}


def _ui(meta: dict[str, Any]) -> dict[str, Any]:
    ui = meta.get("ui")
    return ui if isinstance(ui, dict) else {}
