"""`ostiary`: one command; each verb's module is imported when it is called."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import click

from gateway.settings.loading import EXIT_CONFIGURATION, ConfigurationError

# what it is about → verb → the module that has it, as an attribute of the same name
SECTIONS = {
    "The door": {"up": "up", "doctor": "doctor", "backup": "backup", "restore": "backup", "notice": "notice"},
    "Servers, and who may use them": {
        "server": "server",
        "connection": "connection",
        "policy": "policy",
        "audit": "audit",
    },
    "People": {
        "user": "people.user",
        "group": "people.group",
        "admin": "people.admin",
        "idp": "idp",
        "scim": "people.scim",
    },
    "Clients, agents and tokens": {
        "client": "clients.client",
        "delegation": "clients.delegation",
        "token": "clients.token",
        "issuer": "clients.issuer",
        "revoke": "clients.revoke",
    },
}
SUMMARY = 65  # characters: one line of a terminal, beside the longest verb
VERBS = {verb: module for section in SECTIONS.values() for verb, module in section.items()}


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

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        for title, verbs in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(verb, self._summary(context, verb)) for verb in verbs])

    def _summary(self, context: click.Context, verb: str) -> str:
        command = self.get_command(context, verb)
        return "" if command is None else command.get_short_help_str(SUMMARY)

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        for given in args:
            if not _is_text(given):
                raise click.UsageError(f"{given!r} is not UTF-8", context)
        return super().parse_args(context, args)

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except ConfigurationError as refused:
            for problem in refused.problems:
                click.echo(f"ostiary: {problem}", err=True)
            sys.exit(EXIT_CONFIGURATION)


def _is_text(given: str) -> bool:
    """Whether it can be stored and printed: a byte that is not UTF-8 comes as half of a character."""
    try:
        given.encode()
    except UnicodeEncodeError:
        return False
    return True


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ostiary")
def main() -> None:
    """Ostiary: one door between every MCP client and every approved MCP server."""
