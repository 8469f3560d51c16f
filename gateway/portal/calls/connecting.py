"""A call that needs an account first: its person is led to the page where it is connected, and the retry works.

Each client is asked in the way that it knows: 2026-07-28 by `input_required` with one URL to visit (SEP-2322),
2025-11-25 by the error that names the URL (Elicitation, "URL Elicitation Required"), all others by words with the link
in them. The link is the same: one page, where the person connects this server and whatever else waits for them.
"""

from __future__ import annotations

import asyncio
import hmac
from hashlib import sha256
from typing import TYPE_CHECKING, Final

import msgspec

from gateway.credentials import ConnectionNeeded
from gateway.credentials.connections.links import Ticket, connect_url, link
from gateway.portal.calls import refusing, rounds
from gateway.portal.calls.rounds import Waiting
from gateway.portal.headers import CAPABILITIES_KEY, LEGACY
from gateway.problems import URL_NEEDED, Problem, sentence

if TYPE_CHECKING:
    from gateway.portal.calls.targets import Target
    from gateway.portal.exchange import Exchange
    from gateway.portal.legacy.sessions import Session
    from gateway.upstream import Answer, Ask
    from gateway.world import World
    from registry.catalogue import Credential, Upstream

KEY: Final = "dev.ostiary/connect"
NO: Final = "You said no, so nothing was done."
PATIENCE: Final = 60.0  # seconds that a retry waits for the person, who has only just gone to the page
LOOK: Final = 0.5  # seconds between looks at first; less often the longer it takes
LOOK_MOST: Final = 3.0
HELD_LIMIT: Final = 64 * 1024  # bytes of earlier answers that may go round with the client meanwhile

_encode: Final = msgspec.json.Encoder().encode


async def obtain(exchange: Exchange, target: Target) -> Credential | None:
    """What is not at hand. Raises ConnectionNeeded or another CredentialUnavailable."""
    upstream = exchange.snapshot.catalogue.upstreams[target.server]
    return await exchange.world.credentials.obtain(upstream, exchange.principal, target.object)


async def wait(exchange: Exchange, target: Target, waiting: Waiting) -> Credential | None:
    """The same for a retry: clients come back as soon as the page is open, which is before anybody is done there."""
    loop = asyncio.get_running_loop()
    end, pause = loop.time() + PATIENCE, LOOK
    while True:
        try:
            credential = await obtain(exchange, target)
            if credential is None or mark(credential) != waiting.used:
                return credential
            if loop.time() > end:
                raise _needed_again(exchange, target, waiting)
        except ConnectionNeeded:
            if loop.time() > end:
                raise
        await asyncio.sleep(pause)
        pause = min(1.3 * pause, LOOK_MOST)


def declined(exchange: Exchange) -> bool:
    """Whether the person said that they would not go there."""
    said = exchange.message.value(rounds.RESPONSES)
    answer = said.get(KEY) if isinstance(said, dict) else None
    return isinstance(answer, dict) and answer.get("action") in {"decline", "cancel"}


def ask_person(exchange: Exchange, target: Target, ask: Ask, needed: ConnectionNeeded, used: str = "") -> Answer:
    """What the caller is told; `used` is the mark of what the server did not find good enough.

    Raises Problem where it is an error in the client's revision.
    """
    upstream = exchange.snapshot.catalogue.upstreams[target.server]
    if not needed.subject or needed.subject != exchange.principal.subject or not _is_person(exchange):
        text = f"{_title(upstream)} cannot be called now. {sentence(str(needed))} {_who_can(exchange, needed)}"
        return refusing.in_band(target, text, {"reason": str(needed)})
    url = _url(exchange, target, needed)
    if exchange.modern:
        if _modern_takes_urls(exchange) and ask.method in rounds.METHODS and _held(ask) <= HELD_LIMIT:
            waiting = Waiting(used=used, scopes=tuple(sorted(needed.scopes)), why=str(needed))
            return rounds.ask_ourselves(exchange, target, ask, _request(upstream, needed, url), waiting)
    elif exchange.session is not None and takes_urls(exchange.session):
        raise Problem(200, URL_NEEDED, f"{_title(upstream)} needs you first.", data={
            "elicitations": [_elicitation(exchange, exchange.session, upstream, needed, url)]
        })  # fmt: skip
    text = f"{_message(upstream, needed)} Open {url} in a browser, do there what it asks, then call again."
    return refusing.in_band(target, text, {"reason": str(needed), "url": url})


def elicitation_id(world: World, session: Session, slug: str) -> str:
    """The same whenever a session is led to a server's page, so that any process can say when it is done."""
    return hmac.digest(world.office.vault.key("elicitation"), f"{session.id}\n{slug}".encode(), "sha256")[:16].hex()


def takes_urls(session: Session) -> bool:
    """Whether this legacy client can be led to a URL."""
    return session.version == LEGACY[0] and session.declares("elicitation", "url")


def mark(credential: Credential | None) -> str:
    """By which a credential is told from another, without saying what it is."""
    return "" if credential is None else sha256(credential.value).hexdigest()


def _needed_again(exchange: Exchange, target: Target, waiting: Waiting) -> ConnectionNeeded:
    return ConnectionNeeded(target.server, exchange.principal.subject, waiting.why, scopes=frozenset(waiting.scopes))


def _url(exchange: Exchange, target: Target, needed: ConnectionNeeded) -> str:
    ticket = Ticket(
        subject=needed.subject,
        client=exchange.principal.client,
        object=target.object,
        scopes=tuple(sorted(needed.scopes)),
        sign_in=needed.sign_in,
    )
    return link(exchange.world.office.vault, exchange.world.settings.base_url, target.server, ticket)


def _request(upstream: Upstream, needed: ConnectionNeeded, url: str) -> bytes:
    params = {"mode": "url", "message": _message(upstream, needed), "url": url}
    return _encode({KEY: {"method": "elicitation/create", "params": params}})


def _elicitation(
    exchange: Exchange, session: Session, upstream: Upstream, needed: ConnectionNeeded, url: str
) -> dict[str, str]:
    ident = elicitation_id(exchange.world, session, upstream.slug)
    return {"mode": "url", "elicitationId": ident, "url": url, "message": _message(upstream, needed)}


def _modern_takes_urls(exchange: Exchange) -> bool:
    """Declared on this very request, by name: an empty `elicitation` means forms alone."""
    elicitation = exchange.message.meta_value(CAPABILITIES_KEY).get("elicitation")
    return isinstance(elicitation, dict) and elicitation.get("url") is not None


def _held(ask: Ask) -> int:
    return sum(len(ask.params.get(name, b"")) for name in (rounds.STATE, rounds.RESPONSES))


def _is_person(exchange: Exchange) -> bool:
    """An agent that acts for itself has no account anywhere, and nobody who could connect one."""
    return exchange.principal.label.startswith("user:")


def _who_can(exchange: Exchange, needed: ConnectionNeeded) -> str:
    if not needed.subject:
        return f"That is done at {connect_url(exchange.world.settings.base_url, needed.server)}/shared."
    return "Only a person can connect an account: let the agent act for one, by a delegation or a token exchange."


def _message(upstream: Upstream, needed: ConnectionNeeded) -> str:
    return f"[{_title(upstream)}] {sentence(str(needed))} Nothing was done there yet."


def _title(upstream: Upstream) -> str:
    return upstream.title or upstream.slug
