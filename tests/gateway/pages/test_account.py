"""The link by which the first administrator comes in."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from authz.people.sessions import LINK_LIFE
from tests.gateway.pages.desk import PASSWORD

if TYPE_CHECKING:
    from tests.gateway.pages.desk import Desk

FIELDS = {"handle": "root", "password": PASSWORD, "again": PASSWORD}


def test_the_admin_link_makes_the_first_administrator(desk: Desk) -> None:
    path, browser = f"/setup/{desk.link()}", desk.browser()
    answer = browser.post(path, seen=path, **FIELDS)
    assert (answer.status_code, answer.headers["location"]) == (303, "/admin/servers")
    assert "Review" in browser.get("/").text
    assert desk.records("person.added")[0]["who"] == "link:admin"


def test_the_admin_link_works_once(desk: Desk) -> None:
    path = f"/setup/{desk.link()}"
    first, second = desk.browser(), desk.browser()
    token = second.csrf(path)
    first.post(path, seen=path, **FIELDS)
    again = second.client.post(path, data={"csrf": token, **FIELDS, "handle": "mallory"})
    assert again.status_code == 410
    assert first.get(path).status_code == 410


def test_looking_at_the_link_does_not_use_it(desk: Desk) -> None:
    path, browser = f"/setup/{desk.link()}", desk.browser()
    for _ in range(3):
        assert browser.get(path).status_code == 200
    assert browser.post(path, seen=path, **FIELDS).status_code == 303


def test_a_mistake_on_the_way_does_not_use_the_link_up(desk: Desk) -> None:
    desk.person("root")
    path, browser = f"/setup/{desk.link()}", desk.browser()
    assert "called &#39;root&#39; already" in browser.post(path, seen=path, **FIELDS).text
    assert "differ" in browser.post(path, seen=path, **{**FIELDS, "again": "something else"}).text
    assert browser.post(path, seen=path, **{**FIELDS, "handle": "chief"}).status_code == 303


def test_the_admin_link_lives_fifteen_minutes(desk: Desk) -> None:
    assert desk.browser().get(f"/setup/{desk.link(at=time.time() - LINK_LIFE - 1)}").status_code == 410
    assert desk.browser().get(f"/setup/{desk.link(at=time.time() - LINK_LIFE + 60)}").status_code == 200


def test_a_link_for_somebody_sets_their_password_and_nothing_else(desk: Desk) -> None:
    alice = desk.person("alice")
    path, browser = f"/setup/{desk.link(alice.id)}", desk.browser()
    new = {"password": "a brand new phrase", "again": "a brand new phrase"}
    answer = browser.post(path, seen=path, handle="mallory", **new)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert "Hello, alice" in browser.get("/").text
    assert "Review" not in browser.get("/").text


def test_a_guessed_link_leads_nowhere(desk: Desk) -> None:
    guessed = desk.browser().get("/setup/guessed")
    assert guessed.status_code == 410
    assert "<code>ostiary admin link</code>" in guessed.text


def test_somebody_reads_which_groups_they_are_in(desk: Desk) -> None:
    desk.group("devs")
    desk.group("staff")
    desk.person("alice", "devs", "staff")
    desk.person("bob")
    alice, bob = desk.browser(), desk.browser()
    alice.sign_in("alice")
    bob.sign_in("bob")
    assert ", and one of <code>group:devs</code> and <code>group:staff</code>." in alice.get("/account").text
    assert "you are in no group." in bob.get("/account").text
