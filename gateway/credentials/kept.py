"""`oauth-person` and `oauth-shared`: the token of an account that somebody connected, renewed when it has to be."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway.credentials import CredentialUnavailable, Held
from gateway.credentials.connections.accounts import ELSEWHERE, account, give_up, needed, tampered
from gateway.credentials.connections.renewing import renew_once
from gateway.credentials.oauth.asking import possession
from gateway.credentials.oauth.asking.keeping import BOUND
from gateway.credentials.oauth.asking.possession import Bound
from gateway.credentials.oauth.finding.moving import MOVED, has_moved
from registry.addresses import exception_line
from registry.catalogue import Credential
from registry.credentials import connections
from registry.errors import SecretRefused

if TYPE_CHECKING:
    from gateway.credentials import Asked
    from gateway.credentials.equipment import Equipment
    from registry.catalogue import Upstream
    from registry.credentials.connections import Tokens
    from registry.tables import Connection

MARGIN: Final = 30.0  # seconds before its end (or a quarter of its life) that a token is not sent: clocks differ
LOOKED_AT: Final = 300.0  # seconds after which we look at the connection again, whatever happens
STEP_UPS: Final = 3  # times that more is asked for, and not given, before nobody is led there for it any more
YOUNG: Final = 30.0  # seconds: a token that was given a moment ago, and is refused, would be again


@dataclass(frozen=True, slots=True)
class Found:
    """A connection that can be used, and its tokens."""

    row: Connection
    tokens: Tokens

    @property
    def good_until(self) -> float:
        """Until when the token may be sent."""
        ends = self.tokens.expires_at
        return math.inf if ends is None else ends - min(MARGIN, max(0.0, ends - self.row.changed_at) / 4)


class Kept:
    """The source of what is kept for a connection."""

    def __init__(self, equipment: Equipment) -> None:
        self._equipment = equipment

    def obtain(self, asked: Asked) -> Held:
        now = self._equipment.clock()
        found = self._look(asked.upstream, asked.subject)
        missing = asked.scopes - set(found.tokens.scopes)
        if missing:
            raise _lacking(asked, found.tokens, missing)
        if self._is_over(found, asked, now):
            found = self._renewed(found, asked)
        return Held(
            credential=_credential(self._equipment, asked, found), renew_at=min(now + LOOKED_AT, found.good_until)
        )

    def _look(self, upstream: Upstream, subject: str) -> Found:
        """The connection, if it was made for this server as it is now (T-49)."""
        office = self._equipment.office
        row = account(self._equipment, upstream, subject)
        try:
            with office.database.read() as session:
                found = Found(row, connections.tokens_of(session, office.vault, row))
        except SecretRefused as refused:
            if self._has_moved(row):
                return self._look(upstream, subject)
            raise tampered(self._equipment, upstream, row) from refused
        moved = _moved(upstream, found.tokens)
        if moved:
            raise give_up(self._equipment, upstream, row, moved)
        return found

    def _has_moved(self, row: Connection) -> bool:
        """Whether the row was read before, and its secret after, somebody changed both."""
        with self._equipment.office.database.read() as session:
            now = connections.find(session, row.server, row.subject)
        return now is None or (now.generation, now.state) != (row.generation, row.state)

    def _is_over(self, found: Found, asked: Asked, now: float) -> bool:
        return found.good_until <= now or _is_refused(found, asked)

    def _renewed(self, found: Found, asked: Asked) -> Found:
        """The same connection with another token. Raises CredentialUnavailable, saying whether it may pass."""
        upstream, now = asked.upstream, self._equipment.clock()
        if _is_refused(found, asked) and has_moved(self._equipment, upstream, found.tokens.issuer):
            raise give_up(self._equipment, upstream, found.row, MOVED)
        if _is_refused(found, asked) and found.row.changed_at > now - YOUNG:
            raise CredentialUnavailable(_young(asked))
        if not found.tokens.refresh:
            why = "the server does not accept its token any more" if _is_refused(found, asked) else "it has run out"
            raise give_up(self._equipment, upstream, found.row, f"{why}, and it cannot be renewed; connect it again")
        if found.row.attempts and (found.row.refresh_at or 0.0) > now:
            raise CredentialUnavailable(_later(upstream, found.row, now))
        renew_once(self._equipment, upstream, found.row, found.tokens)
        after = self._look(upstream, asked.subject)
        if self._is_over(after, asked, self._equipment.clock()):
            raise CredentialUnavailable(_later(upstream, after.row, self._equipment.clock()))
        return after


def _young(asked: Asked) -> str:
    """A new token would be refused as well. What to do depends on who hears it."""
    slug = asked.upstream.slug
    text = f"{asked.upstream.title or slug} does not accept a token that was given for it a moment ago"
    if asked.principal is None:  # an administrator, in the server's status
        return (
            f"{text}: compare what `ostiary connection show {slug} --shared` says of its issuer and scopes with what "
            "the server wants, and the clocks of both"
        )
    if asked.subject:
        return (
            f"{text}: call again in a minute, for its clock may be behind; if that does not help, end your account on "
            f"the page /connect/{slug} and connect it again, perhaps another one"
        )
    return f"{text}: call again in a minute; if that does not help, tell an administrator, who alone can mend it"


def _lacking(asked: Asked, tokens: Tokens, missing: frozenset[str]) -> CredentialUnavailable:
    """Somebody has to let the account do more; unless they tried that again and again (SEP-2350: few retries)."""
    if tokens.times >= STEP_UPS and missing <= set(tokens.withheld):
        return CredentialUnavailable(
            f"{asked.upstream.title or asked.upstream.slug} wants more than the account is given: it was asked for "
            f"{tokens.times} times; whoever manages the account has to let it do that, then connect it again"
        )
    return needed(asked.upstream, asked.subject, "more is wanted of it than it was connected for", asked.scopes)


def _is_refused(found: Found, asked: Asked) -> bool:
    refused = asked.instead_of
    return refused is not None and refused.value == _value(found.tokens)


def _moved(upstream: Upstream, tokens: Tokens) -> str:
    """Why tokens are for another server than this one has become since; empty if they are for it."""
    wanted = upstream.auth_settings.authority
    if wanted and wanted != tokens.issuer:
        return MOVED
    if tokens.audience and exception_line(tokens.audience) != exception_line(upstream.url):
        return ELSEWHERE
    return ""


def _credential(equipment: Equipment, asked: Asked, found: Found) -> Credential:
    origin, bound = exception_line(asked.upstream.url), _bound(equipment, asked, found.tokens)
    return Credential(
        server=asked.upstream.slug,
        origin=origin,
        header=b"authorization",
        value=_value(found.tokens),
        subject=asked.subject,
        account=found.row.account,
        until=math.inf if found.tokens.expires_at is None else found.tokens.expires_at,
        sign=None if bound is None else bound.sign,
        heard=None if bound is None else bound.heard,
    )


def _bound(equipment: Equipment, asked: Asked, tokens: Tokens) -> Bound | None:
    """For a token that is bound to a key: what proves that we have it, with each request."""
    holder = possession.opened(equipment, tokens.key) if tokens.type == BOUND else None
    if holder is None:
        return None
    return Bound(holder=holder, token=tokens.access.encode(), origin=exception_line(asked.upstream.url))


def _value(tokens: Tokens) -> bytes:
    return f"{tokens.type} {tokens.access}".encode()


def _later(upstream: Upstream, row: Connection, now: float) -> str:
    seconds = max(1, round((row.refresh_at or now) - now))
    return (
        f"the token for {upstream.title or upstream.slug} has run out and could not be renewed: "
        f"{row.why or 'its authorization server does not answer'}; we try again in {seconds} s"
    )
