"""`ostiary server`: register MCP servers, review what they offer, approve it."""

from __future__ import annotations

import click

from gateway.cli.common import Family
from gateway.cli.server.add import server_add, server_refresh
from gateway.cli.server.allow import server_allow
from gateway.cli.server.auth import server_auth, server_credential
from gateway.cli.server.limits import server_limits
from gateway.cli.server.openapi import server_openapi
from gateway.cli.server.show import server_diff, server_list, server_show
from gateway.cli.server.status import server_status
from gateway.cli.server.steps import server_approve, server_resume, server_retire, server_suspend
from gateway.cli.server.tls import server_tls

COMMANDS = (
    *(server_add, server_list, server_show, server_diff, server_approve, server_suspend, server_resume),
    *(server_retire, server_refresh, server_openapi, server_auth, server_credential),
    *(server_limits, server_status, server_tls, server_allow),
)


@click.group(cls=Family)
def server() -> None:
    """MCP servers: register, review, approve. Nothing of a server is usable until it is approved."""


for command in COMMANDS:
    server.add_command(command)
