"""`ostiary server status`: how servers stand, what is wrong with them, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from gateway.cli.common import as_json, show, with_office
from gateway.cli.output import minute, table
from gateway.cli.server.text import wrong_lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gateway.office import Office
    from gateway.operating.checks import Check
    from gateway.operating.standing import Standing


@click.command("status")
@click.argument("slug", required=False, default="")
@as_json
@with_office
def server_status(office: Office, slug: str, *, as_json: bool) -> None:
    """How SLUG stands, or every server: what is wrong and what to do, calls of the last hour, connected accounts."""
    from gateway.journal.index.copying import Indexer
    from gateway.operating.lately import Lately
    from gateway.operating.standing import standings

    Indexer(office.settings.journal, office.database).catch_up()
    with office.database.read() as session:
        found = standings(session, office.settings.refresh_interval, Lately.of_the_last_hour(session), slug)
    if not slug:
        show([one.told() for one in found], as_json=as_json, text=lambda: _all(found))
        return
    process = _process(office, slug)
    told = found[0].told() | {"process": process.told() if process is not None else None}
    show(told, as_json=as_json, text=lambda: "\n".join(_one(found[0], process)))


def _process(office: Office, slug: str) -> Check | None:
    """How a server is kept that is a process of ours."""
    declared = next((one for one in office.settings.stdio_servers if one.slug == slug), None)
    if declared is None:
        return None
    from gateway.operating.doctor.processes import sandboxed

    return sandboxed(declared)


def _all(found: list[Standing]) -> str:
    rows = [_row(one) for one in found]
    shown = table(rows, "slug state trouble seen calls failed accounts", "no server yet: `ostiary server add SLUG URL`")
    return "\n".join([shown, *wrong_lines((one.slug, one.why, one.remedy) for one in found if one.why)])


def _row(one: Standing) -> dict[str, Any]:
    return {
        "slug": one.slug,
        "state": one.state,
        "trouble": one.trouble or ("see below" if one.why else "-"),
        "seen": minute(one.seen_at),
        "calls": sum(one.calls.values()),
        "failed": _failed(one.calls),
        "accounts": _counts(one.connections),
    }


def _one(one: Standing, process: Check | None) -> Iterator[str]:
    yield f"{one.slug}  {one.state}  {one.transport}, {one.era} era, {one.protocol_version or 'not read yet'}"
    yield f"  last seen well: {minute(one.seen_at)}" + (
        f"; looked at every {one.looked_at_every:g} s" if one.looked_at_every else "; nobody looks while it is so"
    )
    if one.failing_since:
        yield f"  failing since {minute(one.failing_since)}"
    if one.why:
        yield f"  {one.trouble or 'wrong'}: {one.why}"
        yield f"  do: {one.remedy or 'see its log'}"
    if process is not None:
        yield f"  process: {process.why}" + (f"; do: {process.remedy}" if process.remedy else "")
    for writer, trouble in one.left_alone.items():
        yield f"  left alone by {writer} ({trouble}); one call in ten seconds looks whether it is back"
    yield f"  calls in the last hour: {_counts(one.calls)}"
    if one.failures:
        yield f"  without an answer: {_counts(one.failures)}"
    yield f"  auth {one.auth}; connected accounts: {_counts(one.connections)}"
    if one.certificate_until:
        yield f"  our certificate for it is good until {minute(one.certificate_until)}"


def _failed(calls: Mapping[str, int]) -> int:
    return sum(count for outcome, count in calls.items() if outcome in {"broken", "timeout", "unknown"})


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {what}" for what, count in sorted(counts.items())) or "none"
