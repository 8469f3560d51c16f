"""What a person, or an administrator, does to a connection: connect it, give a value, end it. On record, felt at once.

The cut-off that goes with each makes every process look again within a second, whatever it has at hand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from authz.tokens.cutoffs import Cut, cut_off, is_cut
from gateway.credentials.connections.renewing import give_back
from gateway.credentials.connections.telling import label
from gateway.credentials.shelf import cut_key
from registry.credentials import connections
from registry.credentials.connections import Given
from registry.credentials.modes import read_auth
from registry.credentials.modes.oauth import OAuthSettings
from registry.credentials.modes.static import StaticSettings
from registry.credentials.placing import placed
from registry.database import Concern
from registry.errors import RegistryError, SecretRefused
from registry.tables import Server, ServerState

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlmodel import Session

    from gateway.credentials.equipment import Equipment
    from registry.catalogue import Upstream
    from registry.credentials.connections import Tokens
    from registry.credentials.modes.settings import AuthSettings
    from registry.tables import Connection

ENDED = "it was ended here; connect it again to use it"
CUT_FOR = 3600.0  # seconds; nothing is trusted in memory for as long (`shelf.TRUSTED`)


def connect(
    equipment: Equipment, slug: str, subject: str, tokens: Tokens, *, who: str, since: float | None = None
) -> Connection:
    """Somebody went the whole way to an authorization server and back, beginning `since`: these are the connection now.

    Raises RegistryError where, by now, there is nothing to connect there or nobody to connect it.
    """
    return _begin(
        equipment, slug, subject, who, since,
        lambda session, now: connections.connect(
            session, equipment.office.vault, slug, subject, tokens, by=who, now=now
        ),
    )  # fmt: skip


def give(equipment: Equipment, upstream: Upstream, subject: str, value: bytes, *, who: str) -> Connection:
    """A value that a person gave for --auth static --per person. Raises RegistryError, saying what is wrong with it."""
    settings = upstream.auth_settings
    if not isinstance(settings, StaticSettings) or not settings.personal:
        raise RegistryError(f"{upstream.slug} does not take a value of each person")
    placed(settings, value)
    slug, given = upstream.slug, Given(value, upstream.url)
    return _begin(
        equipment, slug, subject, who, None,
        lambda session, now: connections.give(session, equipment.office.vault, slug, subject, given, by=who, now=now),
    )  # fmt: skip


def end(equipment: Equipment, slug: str, subject: str, *, who: str, why: str = ENDED) -> bool:
    """From now on it is not used; whether there was one. `tidy` takes away what is kept of it."""
    with equipment.office.database.change() as session:
        now = equipment.clock()
        if not connections.revoke(session, slug, subject, why, now):
            return False
        cut_off(session, Cut.CONNECTION, cut_key(slug, subject), now=now, life=CUT_FOR)
        equipment.office.database.move(session, Concern.CUTOFFS)
        session.flush()
        account = label(session, subject)
        equipment.office.journal.note("connection.revoked", who=who, server=slug, account=account, why=why)
    return True


def tidy(equipment: Equipment, upstream: Upstream | None, row: Connection) -> None:
    """Of a connection that was ended: its authorization server is told (RFC 7009), and what is kept of it goes.

    Without `upstream`, or when it cannot be told, it goes all the same: nobody should keep what nobody may use.
    """
    office = equipment.office
    tokens = _tokens(equipment, row) if upstream is not None else None
    if upstream is not None and tokens is not None:
        give_back(equipment, upstream, row, tokens)
    with office.database.change() as session:
        connections.forget(session, office.vault, row)


def _begin(
    equipment: Equipment,
    slug: str,
    subject: str,
    who: str,
    since: float | None,
    begun: Callable[[Session, float], Connection],
) -> Connection:
    with equipment.office.change("connection.connected", Concern.CUTOFFS, who=who, server=slug) as (session, facts):
        now = equipment.clock()
        _check_wanted(session, slug, subject, now if since is None else since)
        row = begun(session, now)
        cut_off(session, Cut.CONNECTION, cut_key(slug, subject), now=now, life=CUT_FOR)
        facts.update(account=label(session, subject), issuer=row.issuer, scopes=row.scopes, state=row.state)
    return row


def _check_wanted(session: Session, slug: str, subject: str, since: float) -> None:
    """Much may have ended while somebody was away: the server, its mode, or all that they held."""
    server = session.get(Server, slug, populate_existing=True, with_for_update=True)
    settings = None if server is None else read_auth(server.auth, server.auth_settings)
    if server is None or settings is None or server.state == ServerState.RETIRED or not _keeps(settings, subject):
        raise RegistryError(f"there is no account to connect at {slug} any more")
    if subject and is_cut(session, Cut.PERSON, subject, since):
        raise RegistryError("all that was begun before has been ended; begin anew")


def _keeps(settings: AuthSettings, subject: str) -> bool:
    """Whether this mode has an account of `subject`. One to read with is everybody's also where people have theirs."""
    if isinstance(settings, StaticSettings):
        return settings.personal and bool(subject)
    return isinstance(settings, OAuthSettings) and (settings.personal or not subject)


def _tokens(equipment: Equipment, row: Connection) -> Tokens | None:
    try:
        with equipment.office.database.read() as session:
            return connections.tokens_of(session, equipment.office.vault, row)
    except SecretRefused:  # a value that was given, or what is not to be trusted
        return None
