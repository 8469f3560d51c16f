"""Groups stay true: providers are asked again about their people, and whoever they know no more loses all they had.

One process of an installation does it at a time. A provider that is down ends nobody: what it gave runs out.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final

from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import col, select

from authz.ids import fresh_id
from authz.people import external
from authz.tables import ForeignSession, Person
from gateway.identity.keeping import is_used, kept, one_at_a_time, sealed
from gateway.journal import GATEWAY, JournalDown
from idp_adapters.contract import Ended, IdentityProblem, IdentityRefused, ProviderDown, Renewing, Surveying
from registry import leases
from registry.database import Concern
from registry.errors import SecretRefused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlmodel import Session

    from gateway.identity.providers import Opened, Providers
    from gateway.office import Office
    from idp_adapters.contract import ExternalIdentity

LOOK: Final = 5.0  # seconds between looks at what is due
LEASE: Final = 60.0  # so long nobody asks when the process that did is gone
BATCH: Final = 50  # sessions of one provider between two looks, so that no provider waits long for another
RETRY: Final = 30.0  # seconds before a provider that was down is asked again
IDLE: Final = 60.0  # seconds, for a provider that cannot be asked: it may become one that can
MANY: Final = 3  # people who do not all leave between two looks: a wrong base DN is likelier
RENEW_AT: Final = 0.5  # of the life of groups

log = logging.getLogger("ostiary")


class Refreshing:
    """The background task of a serving process."""

    def __init__(self, office: Office, providers: Providers) -> None:
        self._office = office
        self._providers = providers
        self._holder = fresh_id()
        self._due: dict[str, float] = {}  # provider → when it is asked again

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(LOOK)
            try:
                await asyncio.to_thread(self.look, time.time())
            except (SQLAlchemyError, JournalDown) as error:
                log.warning("identity providers were not asked again: %s", type(error).__name__)

    def look(self, now: float) -> None:
        """Asks whoever is due, if no other process does."""
        rows = self._providers.listed()
        if not rows or not self._alone():  # held on to while nothing is due, or each process would ask in its turn
            return
        for row in (row for row in rows if self._due.get(row.slug, 0.0) <= now):
            try:
                self._due[row.slug] = now + self._ask(self._providers.open(row), now)
            except IdentityProblem as problem:
                self._due[row.slug] = now + RETRY
                log.warning("the identity provider %s could not be asked again: %s", row.slug, problem)

    def _alone(self) -> bool:
        return leases.take(self._office.database, "identities", self._holder, LEASE)

    def _ask(self, opened: Opened, now: float) -> float:
        """In how many seconds to ask next."""
        if isinstance(opened.adapter, Surveying):
            self._survey(opened, opened.adapter, now)
            return opened.config.survey_interval
        if isinstance(opened.adapter, Renewing):
            self._renew(opened, opened.adapter, now)
            return LOOK
        return IDLE

    def _survey(self, opened: Opened, adapter: Surveying, now: float) -> None:
        with self._office.database.read() as session:
            people = external.people_of(session, opened.slug)
        if not people:
            return
        found = {(one.issuer, one.subject): one for one in adapter.survey([person.subject for person in people])}
        if not found and len(people) >= MANY:
            words = "it knows none of its people any more: is its configuration right? Nobody is ended"
            raise ProviderDown("nobody_found", words)
        for person in people:
            identity = found.get((person.issuer, person.subject))
            if identity is None:
                self._gone(opened.slug, person.id, now)
            else:
                self._freshen(opened.slug, person.id, identity, now)

    def _renew(self, opened: Opened, adapter: Renewing, now: float) -> None:
        with self._office.database.read() as session:
            rows = _to_renew(session, opened.slug, now - RENEW_AT * self._office.settings.session_life)
        for row in rows:
            if not self._alone():  # two that present the same refresh token would end it
                return
            with one_at_a_time(self._office, row.session):
                keep = self._used(row, now)
                if keep:
                    self._renew_one(opened.slug, adapter, row, keep, now)

    def _used(self, row: ForeignSession, now: float) -> bytes:
        """What to ask with, if a browser or a client still lives by it: nobody is asked about who is not here."""
        with self._office.database.change() as session:
            stored = session.get(ForeignSession, row.session)
            if stored is None:
                return b""
            try:
                keep = kept(self._office, stored) if is_used(session, stored, now) else b""
            except SecretRefused:  # sealed under a key that is gone: there is nothing to ask with, so groups run out
                keep = b""
            stored.keep = stored.keep if keep else b""
            return keep

    def _renew_one(self, slug: str, adapter: Renewing, row: ForeignSession, keep: bytes, now: float) -> None:
        with self._office.database.read() as session:
            person = session.get_one(Person, row.person)
        try:
            identity = adapter.renew(keep)
        except IdentityRefused:
            self._lapsed(slug, person, now)
            return
        if (identity.issuer, identity.subject) != (person.issuer, person.subject):
            self._lapsed(slug, person, now)  # OpenID Connect Core 1.0 section 12.2: it must be the same
            return
        with self._office.database.change() as session:
            stored = session.get(ForeignSession, row.session)
            if stored is not None:
                stored.keep, stored.asked_at = sealed(self._office, row.session, identity.keep), now
        self._freshen(slug, row.person, identity, now)

    def _freshen(self, slug: str, person_id: str, identity: ExternalIdentity, now: float) -> None:
        """Their groups for as long again; a record only where they are others than before."""
        life = self._office.settings.session_life
        with self._office.database.read() as session:
            before, after = external.mapped(session, person_id), external.mapped_groups(session, slug, identity)
            ends = external.groups_end(session, person_id)
        if before == after and (ends is None or ends > now + RENEW_AT * life):
            return  # no new snapshot for nothing
        with self._office.database.change(Concern.PEOPLE) as session:
            person = session.get_one(Person, person_id)
            if person.disabled_at is not None:
                return
            external.refresh(session, slug, person, identity, now + life)
            if before != after:
                facts = {"provider": slug, "groups": sorted(after), "before": sorted(before)}
                self._office.journal.note("person.groups", who=GATEWAY, person=person.label, **facts)

    def _lapsed(self, slug: str, person: Person, now: float) -> None:
        """The provider would have to be asked by the person: sessions and groups end, the rest waits for them."""
        ended = Ended(issuer=person.issuer, subject=person.subject)
        with self._office.database.change(Concern.PEOPLE, Concern.CUTOFFS) as session:
            external.drop_groups(session, person.id)
            count = len(external.end(session, slug, ended, now))
            facts = {"provider": slug, "sessions": count}
            self._office.journal.note("person.lapsed", who=GATEWAY, person=person.label, **facts)

    def _gone(self, slug: str, person_id: str, now: float) -> None:
        with self._office.database.change(Concern.PEOPLE, Concern.CUTOFFS) as session:
            person = session.get_one(Person, person_id)
            if person.disabled_at is not None:
                return
            external.disappear(session, slug, person, now)
            self._office.journal.note("person.gone", who=GATEWAY, person=person.label, provider=slug)


def _to_renew(session: Session, slug: str, asked_before: float) -> Sequence[ForeignSession]:
    """The longest unasked first."""
    due = select(ForeignSession).where(
        ForeignSession.provider == slug, ForeignSession.keep != b"", ForeignSession.asked_at <= asked_before
    )
    return session.exec(due.order_by(col(ForeignSession.asked_at)).limit(BATCH)).all()
