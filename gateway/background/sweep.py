"""Removes what has expired: codes, links, sessions, tokens, unused clients, cut-offs; and rotates our keys."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import col, delete, select

from authz import once
from authz.people import departures, throttle
from authz.tables import BrowserSession, Client, Code, CutOff, DeviceGrant, ForeignSession, OneTimeLink, RefreshToken
from gateway.credentials.oauth.connecting import departures as connecting
from gateway.journal import GATEWAY, JournalDown
from gateway.starting.first_start import ensure_signing_key
from registry.database import Concern

if TYPE_CHECKING:
    from gateway.office import Office

INTERVAL = 600.0  # seconds
KEPT = 86400.0  # seconds that an ended code or token is remembered, so that its reuse is still recognised

log = logging.getLogger("ostiary")


async def sweep_forever(office: Office) -> None:
    """Sweeps every ten minutes until cancelled."""
    while True:
        try:
            await asyncio.to_thread(sweep, office, time.time())
        except (SQLAlchemyError, JournalDown) as error:
            log.warning("sweeping was put off: %s", type(error).__name__)
        await asyncio.sleep(INTERVAL)


def sweep(office: Office, now: float) -> None:
    """One sweep. Nothing that could still be presented and recognised is forgotten."""
    with office.database.change() as session:
        session.execute(delete(Code).where(col(Code.expires_at) < now - KEPT))
        session.execute(delete(RefreshToken).where(col(RefreshToken.expires_at) < now - KEPT))
        session.execute(delete(BrowserSession).where(col(BrowserSession.expires_at) < now))
        session.execute(delete(DeviceGrant).where(col(DeviceGrant.expires_at) < now - KEPT))
        session.execute(delete(OneTimeLink).where(col(OneTimeLink.expires_at) < now - KEPT))
        session.execute(delete(ForeignSession).where(col(ForeignSession.until) < now))
        departures.sweep(session, now)
        connecting.sweep(session, now)
        throttle.sweep(session, now)
        once.sweep(session, now)
    _expire_clients(office, now)
    _expire_cutoffs(office, now)
    ensure_signing_key(office, now)


def _expire_clients(office: Office, now: float) -> None:
    """Dynamic clients that nobody used within a day."""
    with office.database.read() as session:
        unused = session.exec(select(Client.id).where(col(Client.expires_at) < now)).all()
    if unused:
        with office.change("client.expired", Concern.PEOPLE, who=GATEWAY, clients=list(unused)) as (session, _):
            session.execute(delete(Client).where(col(Client.id).in_(unused), col(Client.expires_at) < now))


def _expire_cutoffs(office: Office, now: float) -> None:
    with office.database.read() as session:
        if session.exec(select(CutOff).where(col(CutOff.until) < now)).first() is None:
            return
    with office.database.change(Concern.CUTOFFS) as session:
        session.execute(delete(CutOff).where(col(CutOff.until) < now))
