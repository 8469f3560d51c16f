"""How a server that is a process of ours is run, as `ostiary server show` says it."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

from registry.declaring import COMMAND
from registry.screening.hidden import visible
from registry.tables import Kind, Transport

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry.reviewing import Review


def process_lines(found: Review) -> Iterator[str]:
    """Nothing for any other server."""
    if found.server.transport != Transport.STDIO:
        return
    raw = next((item.raw for item in found.items if item.kind == Kind.SERVER and item.name == COMMAND), "{}")
    declared = json.loads(raw)
    yield f"  runs {visible(shlex.join(declared.get('command', [])))}"
    yield f"  {_reach(declared)}"
    yield f"  {_sandbox(declared)}"


def _reach(declared: dict[str, Any]) -> str:
    reads = ", ".join(declared.get("read", [])) or "nothing besides the system's programs"
    writes = declared.get("directory") or "a directory of its own"
    network = "the whole network, this machine included" if declared.get("network") else "no network"
    return visible(f"may read {reads}; may write {writes}; {network}")


def _sandbox(declared: dict[str, Any]) -> str:
    from gateway.upstream.channels import sandbox

    if declared.get("sandbox") == "off":
        return 'NO SANDBOX (sandbox = "off"): it may do whatever the gateway may'
    trouble = sandbox.trouble()
    return f"it is not run here: {trouble}; {sandbox.NEITHER}" if trouble else "in a sandbox (bubblewrap)"
