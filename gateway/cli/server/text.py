"""How the registry reads on a terminal. Whatever a server wrote is printed with its hidden characters spelled out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.cli.output import minute, table
from gateway.cli.server.process import process_lines
from registry.catalogue.apps import is_for_apps
from registry.credentials.modes import read_auth
from registry.openapi.plan import plan_of
from registry.reviewing import Status
from registry.screening.hidden import visible
from registry.tables import Kind, Transport

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from registry.differences import Change
    from registry.reviewing import Item, Review

WIDTH = 76
OF_THE_SERVER = {"server": "how it names and introduces itself", "command": "what is run"}


def row_of(found: Review, wrong: tuple[str, str, str]) -> dict[str, Any]:
    """`wrong` is what is: in a word, in a sentence, and what to do."""
    one = found.server
    trouble, why, remedy = wrong
    return {
        "slug": one.slug,
        "state": one.state,
        "awaiting": len(found.awaiting),
        "approved": sum(item.status == Status.APPROVED for item in found.items),
        "title": one.title,
        "url": one.url,
        "failure": one.failure,
        "trouble": trouble,
        "why": why,
        "remedy": remedy,
    }


def rows_text(rows: list[dict[str, Any]]) -> str:
    empty = "no server yet: `ostiary server add SLUG URL`"
    shown = [{**row, "wrong": row["trouble"] or ("see below" if row["why"] else "-")} for row in rows]
    listed = table(shown, "slug state approved awaiting url wrong", empty)
    return "\n".join([listed, *wrong_lines((row["slug"], row["why"], row["remedy"]) for row in rows if row["why"])])


def wrong_lines(found: Iterable[tuple[str, str, str]]) -> Iterator[str]:
    """What is wrong with each server, and what to do about it."""
    for slug, why, remedy in found:
        yield f"{slug}: {visible(why)}"
        yield f"  do: {remedy or 'see its log'}"


def review_of(found: Review, contested: Mapping[str, str]) -> dict[str, Any]:
    """Everything about a server, as data."""
    one = found.server
    return {
        **one.model_dump(),
        "shown": found.shown,
        "awaiting": len(found.awaiting),
        "definitions": [_item_of(item, contested) for item in found.items],
    }


def review_text(found: Review, contested: Mapping[str, str], *, full: bool, page: str = "") -> str:
    """`page` is where it has to be approved, if that is not for the command line."""
    return "\n".join((*_head(found), *_items(found, contested, full=full), *_next(found, page)))


def diff_of(found: Review) -> list[dict[str, Any]]:
    touched = [item for item in found.items if item.awaits or item.status == Status.MISSING]
    return [_item_of(item, {}) | {"changes": [_change_of(one) for one in item.changes()]} for item in touched]


def diff_text(found: Review) -> str:
    lines = [line for item in found.items for line in _difference(item)]
    return "\n".join(lines) if lines else f"{found.server.slug}: nothing differs from what was approved"


def _item_of(item: Item, contested: Mapping[str, str]) -> dict[str, Any]:
    return {
        "kind": str(item.kind),
        "name": item.name,
        "exposed": item.exposed,
        "object": item.object,
        "status": str(item.status),
        "digest": item.digest,
        "findings": [finding.plain() for finding in item.findings],
        "approved_by": item.approved_by,
        "kept_by": contested.get(item.name, ""),
        "raw": item.raw,
    }


def _change_of(change: Change) -> dict[str, Any]:
    return {"where": change.where, "before": change.before, "after": change.after, "severe": change.severe}


def _head(found: Review) -> Iterator[str]:
    one = found.server
    yield f"{one.slug}  {one.state}  {visible(one.title)}  {one.url}"
    spoken = "HTTP API" if one.transport == Transport.OPENAPI else f"{one.era} era"
    authority = read_auth(one.auth, one.auth_settings).authority
    auth = f"auth {one.auth}{f' at {visible(authority)}' if authority else ''}"
    yield f"  {spoken}, {one.protocol_version or 'not read yet'}; {auth}; owner {one.owner or '(nobody)'}"
    if one.transport != Transport.OPENAPI:
        yield f"  may ask callers for: {', '.join(one.allowed) or 'nothing'} (`ostiary server allow {one.slug} ...`)"
    yield from process_lines(found)
    yield f"  proposed by {one.proposed_by} on {minute(one.proposed_at)}" + (
        f", approved by {one.approved_by} since {minute(one.approved_at)}" if one.approved_at else ""
    )
    if one.suspended_because:
        yield f"  suspended: {one.suspended_because}"
    if one.failing_since:
        yield f"  failing since {minute(one.failing_since)}: {one.failure}"


def _items(found: Review, contested: Mapping[str, str], *, full: bool) -> Iterator[str]:
    for item in found.items:
        what = _summary(item) or (OF_THE_SERVER.get(item.name, "") if item.kind == Kind.SERVER else "")
        yield f"  {item.status:9} {item.kind:9} {item.exposed or item.name}  {what}".rstrip()
        plan = plan_of(item.raw) if found.server.transport == Transport.OPENAPI else None
        if plan is not None:
            yield f"            {plan.method} {visible(plan.path)}"
        for finding in item.findings:
            yield f"            {finding.severity}: {finding.where or '/'} {visible(finding.what)} ({finding.rule})"
        if item.kind == Kind.TOOL and is_for_apps(_members(item)):
            yield "            for the pages of this server alone: on its own mount, not on the portal"
        if item.name in contested:
            yield f"            on the portal this URI leads to {contested[item.name]}; here only on its own mount"
        if full:
            yield visible(item.raw)


def _next(found: Review, page: str) -> Iterator[str]:
    slug = found.server.slug
    if found.server.probed_at is None and found.server.failing_since:
        yield f"nobody has seen yet what it offers; once that is mended, `ostiary server refresh {slug}` reads it"
        return
    if not found.awaiting and found.server.state != "submitted":
        yield "nothing awaits review"
        return
    flagged = sum(item.flagged for item in found.awaiting)
    yield f"awaiting review: {len(found.awaiting)}" + (f", {flagged} of them flagged" if flagged else "")
    yield f"read them in full with `ostiary server show {slug} --full`, what changed with `ostiary server diff {slug}`"
    word = f"with `ostiary server approve {slug} --shown {found.shown}`"
    yield f"approve, signed in as an administrator, at {page}" if page else f"approve {word}"


def _difference(item: Item) -> Iterator[str]:
    if not item.awaits and item.status != Status.MISSING:
        return
    yield f"{item.status} {item.kind} {item.name}"
    for change in item.changes():
        mark = "!" if change.severe else " "
        if change.before is not None:
            yield f"  {mark} - {change.where}: {visible(change.before)}"
        if change.after is not None:
            yield f"  {mark} + {change.where}: {visible(change.after)}"


def _members(item: Item) -> dict[str, msgspec.Raw]:
    try:
        found: dict[str, msgspec.Raw] = msgspec.json.decode(item.raw, type=dict[str, msgspec.Raw])
    except (ValueError, RecursionError):  # screening has said so
        return {}
    return found


def _summary(item: Item) -> str:
    try:
        said = json.loads(item.raw)
    except (ValueError, RecursionError):
        return "(not JSON)"
    text = next((said[key] for key in ("description", "instructions", "title") if isinstance(said.get(key), str)), "")
    line = visible(" ".join(text.split()))
    return line if len(line) <= WIDTH else f"{line[: WIDTH - 1]}…"
