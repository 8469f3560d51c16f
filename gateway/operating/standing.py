"""How each server stands: what is wrong with it and what to do, who is connected, what calls to it came to lately."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
from sqlmodel import col, func, select

from gateway.journal.index.search import unsealed
from gateway.operating.checks import Check, State
from gateway.operating.hidden import hidden, look
from gateway.operating.renewals import Late, late, renew
from gateway.upstream.remedies import remedy
from gateway.upstream.troubles import MEANINGS, UNREAD, Trouble
from registry.declaring import GONE
from registry.servers import all_servers, find
from registry.tables import Auth, Connection, ConnectionState, Server, ServerState

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sqlmodel import Session

    from gateway.operating.lately import Lately
    from gateway.upstream.upstreams import Strain

CERTIFICATE_WARNING: Final = 21 * 86400.0
TURNS: Final = ("server.left_alone", "server.answers")
WORKS: Final = frozenset({ConnectionState.CONNECTED, ConnectionState.REFRESHING})


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Of one server, in words and numbers that may be shown to administrators."""

    slug: str
    state: str
    transport: str
    era: str
    protocol_version: str
    auth: str
    seen_at: float | None  # the last look at it that succeeded
    failing_since: float | None
    trouble: str  # in one word; empty where nothing is wrong
    why: str
    remedy: str
    left_alone: Mapping[str, str]  # by process: the trouble because of which it refuses calls
    calls: Mapping[str, int]  # of the last hour, by outcome
    calls_since: float  # where there are too many to be counted, of less than an hour
    failures: Mapping[str, int]  # of those without an answer, the newest thousand of all servers, by trouble
    connections: Mapping[str, int]  # by state
    certificate_until: float | None  # of ours, for TLS with it
    looked_at_every: float | None  # seconds; None where nobody looks

    def told(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


class _Facts(NamedTuple):
    """What is known of a server besides its row."""

    alone: Mapping[str, str]
    connections: Mapping[str, int]
    away: str
    behind: Late | None


def standings(session: Session, interval: float, lately: Lately, slug: str = "") -> list[Standing]:
    """Of one server, or of all that are not retired. What calls came to is as far as the index of the journal is."""
    moment = time.time()
    servers = [find(session, slug)] if slug else all_servers(session)
    calls, failures = lately.outcomes(), lately.failures()
    alone, connections = _left_alone(session), _connections(session)
    away, behind = hidden(session, slug), late(session, slug)
    nothing: dict[str, int] = {}
    return [
        _standing(
            one,
            interval,
            lately.moment,
            (calls.get(one.slug, nothing), failures.get(one.slug, nothing)),
            _Facts(
                alone.get(one.slug, {}),
                connections.get(one.slug, nothing),
                away.get(one.slug, ""),
                behind.get(one.slug),
            ),
            moment,
        )
        for one in servers
    ]


def wrong(session: Session, slugs: Collection[str], now: float | None = None) -> dict[str, tuple[str, str, str]]:
    """Of those with which something is wrong: its word, a sentence, and what to do. Of calls nothing is looked up."""
    moment = time.time() if now is None else now
    connections, away, behind = _connections(session), hidden(session), late(session)
    nothing: dict[str, int] = {}
    found = {
        slug: _wrong(
            find(session, slug),
            _Facts({}, connections.get(slug, nothing), away.get(slug, ""), behind.get(slug)),
            moment,
        )
        for slug in slugs
    }
    return {slug: said for slug, said in found.items() if said[1]}


def _standing(
    server: Server,
    interval: float,
    since: float,
    calls: tuple[Mapping[str, int], Mapping[str, int]],
    facts: _Facts,
    now: float,
) -> Standing:
    trouble, why, what_to_do = _wrong(server, facts, now)
    return Standing(
        slug=server.slug,
        state=server.state,
        transport=server.transport,
        era=server.era,
        protocol_version=server.protocol_version,
        auth=server.auth,
        seen_at=server.probed_at,
        failing_since=server.failing_since,
        trouble=trouble,
        why=why,
        remedy=what_to_do,
        left_alone=facts.alone,
        calls=calls[0],
        calls_since=since,
        failures=calls[1],
        connections=facts.connections,
        certificate_until=server.tls.get("until"),
        looked_at_every=interval if server.state in {ServerState.SUBMITTED, ServerState.APPROVED} else None,
    )


def _wrong(server: Server, facts: _Facts, now: float) -> tuple[str, str, str]:
    """The gravest of what is wrong: its word, a sentence, and what to do."""
    if server.state == ServerState.SUSPENDED:  # nobody looks at it, whatever it was before
        return "", f"it is suspended: {server.suspended_because}", resuming(server)
    if server.failing_since is not None:
        what_to_do = remedy(server.trouble, server.slug, server.auth)
        why = server.failure.removesuffix(f"; {what_to_do}")
        return server.trouble, f"{unchecked(server)}: {why}" if server.trouble in UNREAD else why, what_to_do
    if facts.away:
        return "", facts.away, look(server.slug)
    if facts.alone:
        because = Trouble(next(iter(facts.alone.values())))
        why = f"{MEANINGS[because].what}, so {len(facts.alone)} of our processes refuse calls to it for a while"
        return str(because), why, remedy(because, server.slug, server.auth)
    ending = certificate_ending(server, now)
    if ending is not None:
        return str(Trouble.TLS), *ending
    return _of_accounts(server, facts)


def _of_accounts(server: Server, facts: _Facts) -> tuple[str, str, str]:
    known = facts.connections.items()
    lost = sum(count for state, count in known if state not in WORKS | {ConnectionState.REVOKED})
    if lost:
        why = f"{lost} of its connected accounts end or have ended"
        return str(Trouble.NOT_CONNECTED), why, _reconnecting(server)
    return ("", str(facts.behind), renew(server.slug)) if facts.behind else ("", "", "")


def resuming(server: Server) -> str:
    """What to do about a server of which nothing is offered to anybody."""
    if server.suspended_because == GONE:
        return f"declare it there again and restart, or take it away with `ostiary server retire {server.slug}`"
    resume = f"`ostiary server resume {server.slug}` offers again what is as it was approved"
    if server.trouble == Trouble.CREDENTIAL:
        return f"{remedy(server.trouble, server.slug, server.auth)}; then {resume}"
    return f"see what it says now with `ostiary server diff {server.slug}`; {resume}"


def unchecked(server: Server) -> str:
    """That nobody would see it if a server that we cannot read offered something else than was approved."""
    if server.probed_at is None:
        return "what it offers was never checked"
    since = datetime.fromtimestamp(server.probed_at, UTC)
    return f"what it offers is not checked for changes since {since:%Y-%m-%d %H:%M} UTC"


def _reconnecting(server: Server) -> str:
    """Who mends an account that has ended."""
    listed = f"`ostiary connection list --server {server.slug}` says whose they are"
    if server.auth == Auth.OAUTH_SHARED:
        return remedy(Trouble.NOT_CONNECTED, server.slug, server.auth)
    return f"{listed}; people connect theirs again on the page /connect/{server.slug}"


def certificate_ending(server: Server, now: float) -> tuple[str, str] | None:
    """That our certificate for the server has ended or will soon, and what to do; None where it is good for long."""
    until = server.tls.get("until")
    if until is None or until - now >= CERTIFICATE_WARNING:
        return None
    ends = "has expired" if until <= now else f"expires in {(until - now) / 86400:.0f} days"
    authorities = " --ca FILE" if server.tls.get("authorities") else ""  # which stay only if they are given again
    renew = f"renew it, then `ostiary server tls {server.slug} --cert FILE --key FILE{authorities}`"
    return f"our certificate for it {ends}", renew


def _left_alone(session: Session) -> dict[str, dict[str, str]]:
    """By server and process, as each process that still writes said last."""
    found: dict[str, dict[str, str]] = {}
    for entry in unsealed(session, *TURNS):
        process, slug = entry.segment.partition(".")[0], entry.facts.server
        if entry.facts.event == "server.answers":
            found.get(slug, {}).pop(process, None)
        else:
            found.setdefault(slug, {})[process] = msgspec.json.decode(entry.line).get("trouble", "")
    return found


def _connections(session: Session) -> dict[str, dict[str, int]]:
    query = select(Connection.server, Connection.state, func.count())
    found: dict[str, dict[str, int]] = {}
    for slug, state, count in session.exec(query.group_by(col(Connection.server), col(Connection.state))):
        found.setdefault(slug, {})[state] = count
    return found


def strained(slug: str, strain: Strain | None) -> Check | None:
    """That this process leaves the server alone just now, if it does."""
    if strain is None or strain.trouble is None:
        return None
    why = f"{MEANINGS[strain.trouble].what}: left alone by this process, asked again in {strain.pause:.0f} s"
    return Check(f"server:{slug}", State.AMBER, why, remedy(strain.trouble, slug))
