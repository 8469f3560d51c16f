"""What `ostiary doctor` says of servers that are processes of ours."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from gateway.operating.checks import Check, State
from gateway.upstream.channels import sandbox
from gateway.upstream.channels.declared import absent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.office import Office
    from gateway.upstream.channels.declared import DeclaredServer


def processes(office: Office, _now: float) -> Iterator[Check]:
    declared = office.settings.stdio_servers
    for one in declared:
        yield sandboxed(one)
        if one.network:
            why = "it may use the network, and so reaches what this machine reaches, its own addresses too"
            yield Check(f"process {one.slug}", State.AMBER, why, "network = false, unless it needs it")
    if declared and os.geteuid() == 0:
        why = "the gateway runs as root, of whose processes the kernel counts none: one may begin many"
        yield Check("processes", State.AMBER, why, "run the gateway as a user of its own")


def sandboxed(one: DeclaredServer) -> Check:
    """Whether it is kept to what is its own."""
    name = f"process {one.slug}"
    if one.sandbox == "off":
        why = "it runs without a sandbox and may do whatever the gateway may, its keys included"
        return Check(name, State.AMBER, why, 'install bubblewrap and leave sandbox = "off" away')
    trouble = sandbox.trouble()
    if trouble:
        return Check(name, State.RED, f"it is not run: {trouble}", sandbox.NEITHER)
    for problem in absent(one):
        return Check(name, State.RED, f"it is not run: {problem}", "mend its table in the operator's file, and restart")
    return Check(name, State.GREEN, "runs in a sandbox (bubblewrap)")
