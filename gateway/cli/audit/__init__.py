"""`ostiary audit`: read, check, search and shorten the record."""

from __future__ import annotations

import json
import re
import time
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.audit.text import line_text, told, visible
from gateway.cli.common import Family, as_json, show, with_office

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.journal.report import Report
    from gateway.office import Office

SECOND_LOOK = 1.0  # seconds
_AGO = re.compile(r"(\d+)([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class Moment(click.ParamType[float]):
    """An ISO date or time (UTC unless it says otherwise), or how long ago: 30m, 12h, 90d."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:  # noqa: ARG002
        if isinstance(value, float):
            return value
        try:
            return _told(value).timestamp()
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is neither a date (2026-11-21, 2026-11-21T18:00) nor an age (30m, 12h, 90d)")


def _told(value: str) -> datetime:
    """Raises ValueError, and OverflowError for what no calendar has."""
    ago = _AGO.fullmatch(value)
    if ago:
        return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    moment = datetime.fromisoformat(value)
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


@click.group(cls=Family)
def audit() -> None:
    """The record of all calls and changes: read, search, check."""


@audit.command()
@click.option("-n", "--lines", default=20, show_default=True, type=click.IntRange(0, 100_000), help="how many records")
@click.option("-f", "--follow", is_flag=True, help="go on with what comes")
@click.option("--all", "everything", is_flag=True, help="also where segments begin and end (as --json does)")
@as_json
@with_office
def tail(office: Office, lines: int, *, follow: bool, everything: bool, as_json: bool) -> None:
    """The newest records, of all processes."""
    from gateway.journal.tail import Tail

    reader = Tail(office.settings.journal, frames=everything or as_json)
    newest = reader.newest(lines)
    coming: Iterator[bytes] = reader.following() if follow else iter(())
    try:
        for line in chain(newest, coming):
            click.echo(line.decode() if as_json else line_text(line))
    except KeyboardInterrupt:
        return


@audit.command("show")
@click.argument("identity", metavar="ID")
@as_json
@with_office
def show_one(office: Office, identity: str, *, as_json: bool) -> None:
    """All records of a call, of a decision (as an answer's _meta names it), or one record (WRITER/NUMBER)."""
    from gateway.journal.index.search import about

    lines = about(office.settings.journal, office.database, identity)
    if not lines:
        raise click.ClickException(f"nothing on record about {identity!r}; `ostiary audit search` finds ids")
    found = [json.loads(line) for line in lines]
    show(found, as_json=as_json, text=lambda: "\n\n".join(_spread(one) for one in found))


@audit.command()
@as_json
@with_office
def verify(office: Office, *, as_json: bool) -> None:
    """Check every record against the one before it, and the files against the table of segments."""
    report = _check(office)
    if not report.sound:  # what others wrote while we read: look again before saying so
        time.sleep(SECOND_LOOK)
        report = _check(office)
    show(_plain(report), as_json=as_json, text=lambda: _verdict(report))
    if not report.sound:
        raise SystemExit(1)


@audit.command()
@click.option("--since", type=Moment(), help="from this time on: a date, or an age such as 12h")
@click.option("--until", type=Moment(), help="up to this time")
@click.option("--who", default="", help="who asked or acted: user:alice, agent:nightly, operator:root")
@click.option("--server", default="", help="calls to this server")
@click.option("--object", "thing", default="", help="calls of this tool: server.tool")
@click.option("--event", default="", help="call.intent, signin ...; a dot at the end means all that begin so")
@click.option("--outcome", default="", help="ok, tool_error, error, cancelled, timeout, broken, unknown")
@click.option("--text", default="", help="anywhere in the record")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 100_000), help="the newest so many")
@as_json
@with_office
def search(office: Office, thing: str, *, as_json: bool, **wanted: Any) -> None:
    """Find records by who, what and when."""
    from gateway.journal.index.search import Search, find

    lines = find(office.settings.journal, office.database, Search(object=thing, **wanted))
    found = [json.loads(line) for line in lines]
    show(found, as_json=as_json, text=lambda: "\n".join(map(line_text, lines)) or "nothing found")


@audit.command()
@click.option("--before", required=True, type=Moment(), help="take away what is older: a date, or an age such as 90d")
@click.option("--yes", is_flag=True, help="do not ask")
@as_json
@with_office
def prune(office: Office, before: float, *, yes: bool, as_json: bool) -> None:
    """Take old segments away; that it was done, by whom, and what they were, stays on record."""
    from gateway.journal.prune import old
    from gateway.journal.prune import prune as take_away
    from gateway.office import operator

    directory = office.settings.journal
    chosen = old(directory, before)
    names = [str(one.name) for one in chosen]
    size = sum(one.size for one in chosen)
    day = datetime.fromtimestamp(before, UTC).isoformat(timespec="seconds")
    if chosen and not yes:
        click.confirm(f"Remove {len(chosen)} segments ({size:,} bytes) sealed before {day}?", abort=True, err=True)
    if chosen:
        take_away(directory, office.database, office.journal, chosen, before=before, who=operator())
    said = f"removed {len(chosen)} segments" if chosen else f"no whole segment is older than {day}: nothing removed"
    show({"removed": names, "bytes": size}, as_json=as_json, text=lambda: said)


def _check(office: Office) -> Report:
    from sqlmodel import select

    from gateway.journal.verify import verify as check
    from registry.tables import Segment

    with office.database.read() as session:
        rows = session.exec(select(Segment)).all()
    return check(office.settings.journal, office.vault.key("journal"), rows)


def _spread(record: dict[str, Any]) -> str:
    width = max(map(len, record))
    return "\n".join(f"{visible(key):<{width}}  {told(key, value)}" for key, value in record.items())


def _plain(report: Report) -> dict[str, Any]:
    return {
        "sound": report.sound,
        "segments": report.segments,
        "records": report.records,
        "problems": [{"segment": one.segment, "seq": one.seq, "text": one.text} for one in report.problems],
        "notes": [{"segment": one.segment, "seq": one.seq, "text": one.text} for one in report.notes],
    }


def _verdict(report: Report) -> str:
    lines = [f"note     {one}" for one in report.notes] + [f"PROBLEM  {one}" for one in report.problems]
    state = "sound" if report.sound else "NOT SOUND: keep these files as they are and look at the first problem"
    return "\n".join([*lines, f"{report.records} records in {report.segments} segments: {state}"])
