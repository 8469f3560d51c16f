"""One person who proposes and approves, on the review page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.gateway.pages.test_reviewing import approve, offer, pins

if TYPE_CHECKING:
    from tests.gateway.pages.desk import Browser, Desk


def signed_in(desk: Desk, handle: str) -> Browser:
    desk.person(handle, admin=True)
    browser = desk.browser()
    browser.sign_in(handle)
    return browser


def test_t_95_where_two_admins_exist_the_proposer_does_not_approve(desk: Desk) -> None:
    offer(desk, who="user:alice", read="Reads a note.")
    alice, bob = signed_in(desk, "alice"), signed_in(desk, "bob")
    assert approve(alice, 0) == 409
    assert pins(desk) == set()
    assert approve(bob, 0) == 303
    assert pins(desk) == {"read"}


def test_t_95_a_digest_that_changed_meanwhile_is_not_approved(desk: Desk) -> None:
    offer(desk, who="user:alice", read="Reads a note.")
    bob = signed_in(desk, "bob")
    assert approve(bob, 0, shown="0" * 64) == 409
    assert pins(desk) == set()
    assert desk.records("server.approved") == []
