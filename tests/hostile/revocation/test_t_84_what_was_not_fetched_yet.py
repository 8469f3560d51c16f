"""T-84: a device that was allowed and has not fetched its tokens holds something too, and it ends like all the rest."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from sqlmodel import select

from authz.people import external, revoking
from authz.people.accounts import disable_person
from authz.tables import BrowserSession, Client, DeviceGrant, ForeignSession, Person
from authz.tokens import families
from gateway.oauth.grants.device import DEVICE_CODE
from idp_adapters.contract import Ended
from registry.database import Concern
from tests.gateway.oauth.browser.test_device import allowed, begin, poll

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlmodel import Session

    from tests.gateway.oauth.house import House


def device(house: House, *more: str) -> Client:
    client = house.client()
    with house.office.database.change() as session:
        session.add(client)
        client.grant_types, client.redirect_uris = [DEVICE_CODE, *more], []
    return client


def signs_out_everywhere(session: Session, person: Person, _: Client) -> None:
    revoking.of_person(session, session.get_one(Person, person.id), time.time())


def is_disabled_and_enabled(session: Session, person: Person, _: Client) -> None:
    row = session.get_one(Person, person.id)
    disable_person(session, row, time.time())
    row.disabled_at = None


def ends_the_client(session: Session, _: Person, client: Client) -> None:
    revoking.of_client(session, session.get_one(Client, client.id), time.time())


def disconnects(session: Session, person: Person, client: Client) -> None:
    families.disconnect(session, person.id, client.id, time.time())


def ends_the_browser(session: Session, person: Person, _: Client) -> None:
    for row in session.exec(select(BrowserSession).where(BrowserSession.person == person.id)).all():
        revoking.of_browser(session, row, time.time())


def is_signed_out_by_the_provider(session: Session, person: Person, _: Client) -> None:
    row = session.get_one(Person, person.id)
    row.issuer = "https://idp.example"
    for browser in session.exec(select(BrowserSession).where(BrowserSession.person == person.id)).all():
        session.add(
            ForeignSession(session=browser.hash, provider="corp", person=person.id, asked_at=0, until=time.time() + 60)
        )
    session.flush()
    external.end(session, "corp", Ended(issuer=row.issuer, subject=row.subject, session=""), time.time())


ENDS = [
    signs_out_everywhere,
    is_disabled_and_enabled,
    ends_the_client,
    disconnects,
    ends_the_browser,
    is_signed_out_by_the_provider,
]


def ended(house: House, end: Callable[[Session, Person, Client], None], person: Person, client: Client) -> None:
    with house.office.database.change(Concern.PEOPLE, Concern.CUTOFFS) as session:
        end(session, person, client)
    time.sleep(1.1)  # a cut ends what was issued until the end of its second


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
def test_t_84_a_device_fetches_nothing_that_was_ended_since_it_was_allowed(house: House, end: Any) -> None:
    client, person = device(house, "refresh_token"), house.person()
    begun = begin(house, client)
    allowed(house, person, begun)

    ended(house, end, person, client)

    answer = poll(house, client, begun["device_code"])
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant"), answer.text


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
def test_t_84_a_device_that_never_refreshes_loses_its_token_like_any_other(house: House, end: Any) -> None:
    client, person = device(house), house.person()
    begun = begin(house, client)
    allowed(house, person, begun)
    given = poll(house, client, begun["device_code"]).json()
    assert "refresh_token" not in given
    house.until_call(given["access_token"], 200)

    ended(house, end, person, client)

    house.until_call(given["access_token"], 401)


def test_t_84_a_question_that_nobody_answered_can_still_be_answered_by_whoever_came_again(house: House) -> None:
    client, person = device(house, "refresh_token"), house.person()
    allowed(house, person, begin(house, client))
    ended(house, disconnects, person, client)

    again = begin(house, client)
    allowed(house, person, again)

    assert poll(house, client, again["device_code"]).status_code == 200
    with house.office.database.read() as session:
        assert len(session.exec(select(DeviceGrant).where(DeviceGrant.client == client.id)).all()) == 2
