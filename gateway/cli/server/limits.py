"""`ostiary server limits`: how long a server's calls may take, how many at once, and what may be sent twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from gateway.cli.common import as_json, show, with_office
from gateway.cli.output import table
from gateway.cli.server.show import the_server
from gateway.office import operator
from registry.database import Concern

if TYPE_CHECKING:
    from gateway.office import Office
    from gateway.settings import Settings
    from registry.limits import Limits


@click.command("limits")
@the_server
@click.option("--tool", help="for this tool alone, by the server's own name for it")
@click.option("--deadline", type=float, help="seconds of silence after which a call is given up; 0: as it was at first")
@click.option(
    "--total", type=float, help="seconds that a call may last at most, progress or not; 0: as it was at first"
)
@click.option("--at-once", type=int, help="calls under way in one process at the same time; 0: as it was at first")
@click.option("--repeat/--no-repeat", default=None, help="send a call of --tool again if its answer was lost")
@as_json
@with_office
def server_limits(office: Office, slug: str, tool: str | None, *, as_json: bool, **given: Any) -> None:
    """Show or set limits of SLUG. What is not set is as in the settings, or for a tool as for its server.

    A call is sent twice only where --repeat allows it, the approved definition of the tool says that it is idempotent,
    and the connection was lost before its answer was there.
    """
    from registry.limits import change_limits
    from registry.servers import find

    changes = {name: value for name, value in given.items() if value is not None}
    if ("at_once" in changes and tool is not None) or ("repeat" in changes and tool is None):
        raise click.UsageError("--at-once is of a whole server, --repeat of one --tool")
    if not changes:
        with office.database.read() as session:
            found = find(session, slug).limits
    else:
        with office.change("server.limits", Concern.CATALOGUE, who=operator(), server=slug) as (session, facts):
            found = change_limits(session, find(session, slug), tool, changes, longest=office.settings.call_limit)
            facts["limits"] = found
    rows = _rows(found, office.settings)
    show(found, as_json=as_json, text=lambda: table(rows, "of deadline total at_once repeat", ""))


def _rows(stored: dict[str, Any], settings: Settings) -> list[dict[str, Any]]:
    """What holds, for the server and for each tool that differs."""
    from registry.limits import read_limits

    limits: Limits = read_limits(stored)
    deadline, total = f"{limits.deadline or settings.call_deadline:g}", f"{limits.total or settings.call_limit:g}"
    rows = [{"of": "(all)", "deadline": deadline, "total": total, "at_once": limits.at_once or "-", "repeat": "-"}]
    for name, tool in limits.tools.items():
        own = {"deadline": f"{tool.deadline:g}" if tool.deadline else deadline}
        own["total"] = f"{tool.total:g}" if tool.total else total
        rows.append({"of": name, **own, "at_once": "-", "repeat": tool.repeat})
    return rows
