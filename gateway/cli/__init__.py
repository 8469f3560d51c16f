"""`ostiary`: one command; each verb's module is imported when it is called."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import click

from gateway.settings import EXIT_CONFIGURATION, ConfigurationError

# verb → the module that has it, as an attribute of the same name
VERBS = {
    "up": "up",
    "server": "server",
    "policy": "policy",
    "user": "user",
    "group": "group",
    "idp": "idp",
    "client": "client",
    "token": "token",
    "delegation": "delegation",
    "issuer": "issuer",
    "scim": "scim",
    "revoke": "revoke",
    "admin": "admin",
    "audit": "audit",
    "doctor": "doctor",
    "backup": "backup",
    "restore": "backup",
}


class Verbs(click.Group):
    """Loads `gateway.cli.<module>` when a verb of it is asked for."""

    def list_commands(self, _context: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        module = VERBS.get(name)
        if module is None:
            return None
        command: click.Command = getattr(import_module(f"gateway.cli.{module}"), name)
        return command

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except ConfigurationError as refused:
            for problem in refused.problems:
                click.echo(f"ostiary: {problem}", err=True)
            sys.exit(EXIT_CONFIGURATION)


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ostiary")
def main() -> None:
    """Ostiary: one door between every MCP client and every approved MCP server."""
