"""From the tables to the catalogue: only approved servers, and of those only what is still as it was approved."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa
from sqlmodel import Session, col, select

from registry.addresses import Address, parse
from registry.catalogue import Catalogue, Entry, Upstream
from registry.catalogue.apps import is_for_apps, page_of
from registry.catalogue.mounting import Approved, join, mounts, owners
from registry.catalogue.templates import compile_template
from registry.credentials.modes import read_auth
from registry.credentials.tls import read_tls
from registry.declaring import approved_commands
from registry.limits import read_limits
from registry.screening import Severity
from registry.screening.schemas import param_headers
from registry.servers import all_servers, exception_lines, reachable
from registry.tables import Auth, Definition, Era, ExposedName, Kind, Pin, Server, ServerState, Transport

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

OURS = b"dev.ostiary/"  # what keys of `_meta` begin with that are ours
SERVER_WORDS = "server"  # the name of the definition of kind SERVER
SUSPENDED = "the server is suspended"
ANOTHER_WAY = "its server is to be run in another way, which awaits review"
CHANGED = "it changed since it was approved and awaits review"

_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.encode


def load_catalogue(session: Session, epoch: int, exceptions: Collection[str] = ()) -> Catalogue:
    """The catalogue as the database has it; `exceptions` are the address lines of the operator's file."""
    lines = [*exceptions, *exception_lines(session)]
    servers = [server for server in all_servers(session) if server.state == ServerState.APPROVED]
    commands = approved_commands(session)
    servers = [server for server in reachable(servers, lines) if _may_run(server, commands)]
    approved = {server.slug: list(_approved(session, server.slug)) for server in servers}
    words = _words(session)
    upstreams = {
        server.slug: upstream_of(server, lines, words.get(server.slug, ""), commands.get(server.slug, ""))
        for server in servers
    }
    return Catalogue(
        epoch=epoch,
        mounts={mount.path: mount for mount in mounts(approved, upstreams)},
        upstreams=upstreams,
        paused=dict(_paused(session)),
    )


def upstream_of(server: Server, lines: Collection[str], instructions: str = "", command: str = "") -> Upstream:
    """A server as it is reached, approved or not; raises AddressRefused."""
    address = _address(server, lines)
    return Upstream(
        slug=server.slug,
        title=server.title,
        url=server.url,
        scheme=address.scheme,
        host=address.host,
        port=address.port,
        target=address.target,
        era=Era(server.era),
        protocol_version=server.protocol_version,
        auth=Auth(server.auth),
        transport=Transport(server.transport),
        auth_settings=read_auth(server.auth, server.auth_settings),
        allowed=frozenset(server.allowed),
        limits=read_limits(server.limits),
        tls=read_tls(server.tls),
        command=command,
        capabilities=server.capabilities,
        instructions=instructions,
        address_exception=address.excepted,
        stale_since=server.failing_since,
        failure=server.failure,
        trouble=server.trouble,
    )


def _address(server: Server, lines: Collection[str]) -> Address:
    """Where it is. A process of ours is nowhere: nothing could connect to this."""
    if server.transport == Transport.STDIO:
        return Address(scheme="stdio", host=server.slug, port=0, target="", excepted=False)
    return parse(server.url, lines)


def _may_run(server: Server, commands: Mapping[str, str]) -> bool:
    return server.transport != Transport.STDIO or server.slug in commands


def _approved(session: Session, slug: str) -> Iterator[Approved]:
    """What is pinned, listed, and has the pinned digest, in the server's own order."""
    pinned = (col(Definition.server) == Pin.server) & (col(Definition.kind) == Pin.kind)
    same = pinned & (col(Definition.name) == Pin.name) & (col(Definition.digest) == Pin.digest)
    columns: list[Any] = [Pin.kind, Pin.name, Pin.digest, Pin.raw, Pin.approved_at, Definition.findings]
    query = (
        sa.select(*columns)
        .join(Definition, same)
        .where(col(Pin.server) == slug, col(Definition.missing).is_(False), col(Pin.kind) != Kind.SERVER)
        .order_by(col(Definition.position), col(Pin.name))
    )
    names = session.exec(select(ExposedName).where(ExposedName.server == slug))
    exposed = {(row.kind, row.name): row.exposed for row in names}
    for kind, name, digest, raw, since, findings in session.connection().execute(query):
        if _is_refused(findings):
            continue
        shown_as = exposed.get((kind, name), name)
        yield Approved(*_entries(slug, Kind(kind), name, shown_as, digest, raw), since)


@lru_cache(maxsize=16384)
def _entries(server: str, kind: Kind, name: str, exposed: str, digest: str, raw: str) -> tuple[Entry, Entry]:
    """The entry under its own name and under its exposed one; a catalogue mostly repeats the one before it."""
    data = raw.encode()
    members, shown = _without_ours(_members(data), data)
    own = Entry(
        server=server,
        kind=kind,
        name=name,
        exposed=name,
        object=f"{server}.{name}",
        digest=digest,
        raw=data,
        shown=shown,
        shown_legacy=_for_legacy(members, shown),
        param_headers=param_headers(json.loads(bytes(members["inputSchema"]))) if kind == Kind.TOOL else {},
        template=compile_template(name) if kind == Kind.TEMPLATE else None,
        page=page_of(members) if kind == Kind.TOOL else "",
        for_apps=kind == Kind.TOOL and is_for_apps(members),
    )
    if exposed == name:
        return own, own
    renamed = members | {"name": msgspec.Raw(_encode(exposed))}
    shown = join(renamed)
    return own, replace(own, exposed=exposed, shown=shown, shown_legacy=_for_legacy(renamed, shown))


def _without_ours(members: dict[str, msgspec.Raw], whole: bytes) -> tuple[dict[str, msgspec.Raw], bytes]:
    """What clients are shown: without how an HTTP API is called, and without what a server says in our name."""
    if OURS not in whole or not bytes(members.get("_meta", b"")).startswith(b"{"):
        return members, whole
    meta = {key: value for key, value in _members(members["_meta"]).items() if not key.startswith(OURS.decode())}
    kept = {key: value for key, value in members.items() if key != "_meta"}
    members = kept | ({"_meta": msgspec.Raw(join(meta))} if meta else {})
    return members, join(members)


def _for_legacy(members: Mapping[str, msgspec.Raw], whole: bytes) -> bytes:
    """Before 2026-07-28 an output schema was of an object; one that is not makes such a client drop the whole list."""
    output = members.get("outputSchema")
    if output is None or _is_object_schema(bytes(output)):
        return whole
    return join({key: value for key, value in members.items() if key != "outputSchema"})


def _is_object_schema(raw: bytes) -> bool:
    schema = json.loads(raw)
    return isinstance(schema, dict) and schema.get("type") == "object"


def contested(session: Session, slug: str) -> dict[str, str]:
    """URIs of `slug` that lead to another server on the merged portal, with that server."""
    servers = [server.slug for server in all_servers(session) if server.state == ServerState.APPROVED]
    everything = (one for each in servers for one in _approved(session, each))
    kept = {uri: server for (_, uri), server in owners(everything).items()}
    own = session.exec(select(Pin.name).where(Pin.server == slug, col(Pin.kind).in_([Kind.RESOURCE, Kind.TEMPLATE])))
    return {uri: kept[uri] for uri in own if kept.get(uri, slug) != slug}


def _words(session: Session) -> dict[str, str]:
    """A server's instructions, where they are approved as they are now."""
    same = (col(Definition.server) == Pin.server) & (col(Definition.digest) == Pin.digest)
    query = select(Pin.server, Pin.raw).join(Definition, same)
    query = query.where(Pin.kind == Kind.SERVER, Definition.kind == Kind.SERVER, col(Definition.missing).is_(False))
    query = query.where(Pin.name == SERVER_WORDS, Definition.name == SERVER_WORDS)
    return {slug: json.loads(raw).get("instructions") or "" for slug, raw in session.exec(query)}


def _paused(session: Session) -> Iterator[tuple[tuple[str, str], str]]:
    """What its people would otherwise miss without a word: by kind and object, why it is away."""
    servers = {server.slug: server for server in all_servers(session) if server.state != ServerState.SUBMITTED}
    commands = approved_commands(session)
    pins = {
        (pin[0], pin[1], pin[2]): pin[3] for pin in session.exec(select(Pin.server, Pin.kind, Pin.name, Pin.digest))
    }
    columns: list[Any] = [Definition.server, Definition.kind, Definition.name, Definition.digest, Definition.findings]
    query = sa.select(*columns).where(col(Definition.missing).is_(False))
    for slug, sort, own, digest, findings in session.connection().execute(query):
        if slug in servers and sort != Kind.SERVER:
            why = _why(servers[slug], pins.get((slug, sort, own)), digest, findings, commands)
            if why:
                yield (str(sort), f"{slug}.{own}"), why


def _why(
    server: Server, pinned: str | None, digest: str, findings: list[dict[str, Any]], commands: Mapping[str, str]
) -> str:
    if server.state == ServerState.SUSPENDED:
        return SUSPENDED if pinned else ""
    if not _may_run(server, commands):
        return ANOTHER_WAY if pinned else ""
    if _is_refused(findings):
        return "screening refused it as it is now"
    if pinned == digest:
        return ""
    return CHANGED if pinned else "it is new and awaits review"


def _is_refused(findings: list[dict[str, Any]]) -> bool:
    return any(finding["severity"] == Severity.REFUSED for finding in findings)
