"""A refresh token is presented once, whoever needs what it gives: by one thread of one process of an installation.

The others wait for the next generation of the connection, and take that. What an authorization server has answered is
kept whether or not anybody still waits for it: the thread that asked goes on. Only a process that dies between hearing
an answer and storing it loses one; where refresh tokens are used once, its people then connect again.
"""

from __future__ import annotations

import logging
import random
import time
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from sqlalchemy.exc import SQLAlchemyError

from authz.ids import fresh_id
from gateway.credentials import CredentialUnavailable, Refused, Unanswered
from gateway.credentials.connections.telling import note
from gateway.journal import JournalDown
from registry import leases
from registry.credentials import connection_states as states
from registry.credentials import connections

if TYPE_CHECKING:
    from gateway.credentials.equipment import Equipment
    from registry.catalogue import Upstream
    from registry.credentials.connections import Tokens
    from registry.tables import Connection

LEASE: Final = 90.0  # seconds; longer than an authorization server may take in all
PATIENCE: Final = 30.0  # seconds for whoever waits for another to be done
PAUSE: Final = 0.05
LASTING: Final = 5  # attempts in vain, which is some minutes
STORING: Final = (0.0, 0.1, 0.3, 1.0, 2.0, 4.0, 8.0, 16.0)  # seconds before each attempt: the answer is all there is
STORED_WITHIN: Final = 10.0  # seconds that a process which ends has for what it is just being given

log = logging.getLogger("ostiary")


def renew_once(equipment: Equipment, upstream: Upstream, row: Connection, tokens: Tokens) -> None:
    """When it returns the connection is another than `row`: renewed, put off, or over. Look again.

    Raises CredentialUnavailable when somebody else is at it for too long.
    """
    database, holder = equipment.office.database, fresh_id()
    name, until = f"renew/{sha256(f'{row.server}/{row.subject}'.encode()).hexdigest()}", time.monotonic() + PATIENCE
    while not leases.take(database, name, holder, LEASE):
        if _waited(equipment, row, name, until):
            return
    try:
        if _is_as_read(equipment, row):
            _renew(equipment, upstream, row, tokens)
    finally:
        leases.give_back(database, name, holder)


def _waited(equipment: Equipment, row: Connection, name: str, until: float) -> bool:
    """Until somebody else has done it (true), or has gone without (false)."""
    while time.monotonic() < until:
        if not _is_as_read(equipment, row):
            return True
        if not leases.is_held(equipment.office.database, name):
            return False
        time.sleep(PAUSE)
    raise CredentialUnavailable("the token is being renewed, which takes long; try again in a moment")


def _is_as_read(equipment: Equipment, row: Connection) -> bool:
    """Whether nobody has renewed it, put it off or ended it since."""
    with equipment.office.database.read() as session:
        now = connections.find(session, row.server, row.subject)
    return now is not None and connections.is_alive(now) and _mark(now) == _mark(row)


def _mark(row: Connection) -> tuple[int, int]:
    return row.generation, row.attempts


def _renew(equipment: Equipment, upstream: Upstream, row: Connection, tokens: Tokens) -> None:
    """One attempt, under the lease, and what follows from it."""
    from gateway.credentials.oauth.asking.renewing import renew

    with equipment.office.database.change() as session:
        if connections.step(session, row, lambda one: states.refreshing(one, equipment.clock(), LEASE)) is None:
            return
    try:
        fresh = renew(equipment, upstream, row, tokens)
    except Refused as refused:
        _refused(equipment, row, str(refused))
    except Unanswered as later:
        _put_off(equipment, row, later)
    else:
        _keep(equipment, upstream, row, fresh)


def _keep(equipment: Equipment, upstream: Upstream, row: Connection, fresh: Tokens) -> None:
    """Stored, however long the database is away; then on record, which must not keep it from being stored."""
    office = equipment.office
    for pause in STORING:
        time.sleep(pause)
        try:
            with office.database.change() as session:
                kept = connections.renew(session, office.vault, row, fresh, equipment.clock())
            break
        except SQLAlchemyError as error:
            log.warning("a renewed token of %s is still to be stored: %s", row.server, type(error).__name__)
    else:
        raise CredentialUnavailable("the renewed token could not be stored: the database does not answer")
    if kept is None:  # ended or connected anew meanwhile
        give_back(equipment, upstream, row, fresh)
        return
    try:
        with office.database.read() as session:
            note(session, "connection.renewed", office, kept, expires_at=kept.expires_at)
    except JournalDown:
        log.warning("that a token of %s was renewed could not be put on record", row.server)


def give_back(equipment: Equipment, upstream: Upstream, row: Connection, tokens: Tokens) -> bool:
    """Tells the authorization server that nobody needs these any more (RFC 7009); whether it heard it."""
    from gateway.credentials.oauth.asking.renewing import revoke

    try:
        revoke(equipment, upstream, row, tokens)
    except (Refused, Unanswered) as untold:
        log.warning("the authorization server of %s could not be told that a token has ended: %s", row.server, untold)
        return False
    return True


def _refused(equipment: Equipment, row: Connection, why: str) -> None:
    with equipment.office.database.change() as session:
        after = connections.step(session, row, lambda one: states.needing(one, why, equipment.clock()))
        if after is not None:
            note(session, "connection.failed", equipment.office, after, why=why)


def _put_off(equipment: Equipment, row: Connection, later: Unanswered) -> None:
    """On record the first time, for the state says the rest; and told when it lasts, for then calls begin to fail."""
    with equipment.office.database.change() as session:
        after = connections.step(
            session,
            row,
            lambda one: states.put_off(one, str(later), equipment.clock(), random.random(), later.retry_after),  # noqa: S311
        )
        if after is not None and after.attempts in {1, LASTING}:
            note(session, "connection.delayed", equipment.office, after, why=str(later), told=after.attempts == LASTING)
