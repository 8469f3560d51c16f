"""Newer tokens for a connected account, at the authorization server that gave the first."""

from __future__ import annotations

import pytest

from gateway.credentials import Refused, Unanswered
from gateway.credentials.oauth.asking.renewing import renew, revoke
from tests.fakes.providers.openid import Reply


@pytest.fixture
def connected(office, fake):
    fake.challenge = 'scope="notes:read notes:write"'
    upstream = office.server(fake.url)
    office.connect(fake, upstream)
    return upstream


def again(office, upstream):
    return renew(office.equipment, upstream, office.connection(), office.tokens())


def test_a_newer_token_comes_with_the_next_refresh_token(office, fake, connected):
    before, after = office.tokens(), again(office, connected)
    assert after.access != before.access
    assert after.refresh in fake.refreshes
    assert before.refresh not in fake.refreshes
    assert (after.issuer, after.audience, after.client_id) == (before.issuer, before.audience, before.client_id)


def test_it_is_asked_for_with_the_resource(office, fake, connected):
    again(office, connected)
    assert fake.asked("/token")[-1].form["resource"] == fake.url


def test_a_refresh_token_that_is_not_replaced_stays(office, fake, connected):
    fake.rotates = False
    before, after = office.tokens(), again(office, connected)
    assert after.refresh == before.refresh


def test_scopes_that_were_taken_away_are_noticed(office, fake, connected):
    fake.token = {"scope": "notes:read"}
    assert again(office, connected).scopes == ("notes:read",)


def test_scopes_that_are_not_mentioned_are_what_they_were(office, fake, connected):
    fake.token = {"scope": None}
    assert again(office, connected).scopes == office.tokens().scopes


def test_what_was_revoked_there_needs_a_person(office, fake, connected):
    fake.revoke("usr_alice")
    with pytest.raises(Refused, match="connect it again"):
        again(office, connected)


def test_without_a_refresh_token_nothing_is_asked(office, fake):
    fake.gives_refresh = False
    upstream = office.server(fake.url)
    office.connect(fake, upstream)
    with pytest.raises(Refused, match="cannot be renewed"):
        again(office, upstream)
    assert len(fake.asked("/token")) == 1


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_an_authorization_server_that_is_down_is_asked_again_later(office, fake, connected, status):
    fake.replies["/token"] = lambda _: Reply(status, b"")
    with pytest.raises(Unanswered):
        again(office, connected)


def test_a_server_that_is_down_keeps_nobody_from_renewing(office, fake, connected):
    for path in ("/mcp", "/.well-known/oauth-protected-resource/mcp"):
        fake.replies[path] = lambda _: Reply(503, b"")
    office.equipment.discovery.forget(connected, "")
    assert again(office, connected).access


def test_a_client_that_was_forgotten_there_is_registered_anew_by_whoever_connects(office, fake, connected):
    fake.apps.clear()
    with pytest.raises(Refused, match="connect it again"):
        again(office, connected)
    assert office.app(fake.issuer) is None
    office.connect(fake, connected)
    assert again(office, connected).access


def test_another_client_does_not_present_what_was_given_to_the_first(office, fake, connected):
    fake.add_app("ours")
    with office.office.database.change() as session:
        from registry.tables import Server

        session.get_one(Server, "notes").auth_settings = {"client_id": "ours"}
    with pytest.raises(Refused, match="another client of ours"):
        again(office, office.upstream())
    assert len(fake.asked("/token")) == 1


def test_an_administrator_who_says_another_issuer_ends_it(office, fake, connected):
    with office.office.database.change() as session:
        from registry.tables import Server

        session.get_one(Server, "notes").auth_settings = {"issuer": "https://other.example"}
    with pytest.raises(Refused, match="another authorization server"):
        again(office, office.upstream())


def test_metadata_that_lies_ends_nothing_and_is_sent_nothing(office, fake, connected):
    fake.metadata = {"issuer": "https://other.example"}
    office.equipment.discovery.forget(connected, fake.issuer)
    with pytest.raises(Unanswered):
        again(office, connected)
    assert len(fake.asked("/token")) == 1


def test_what_is_over_is_told_there(office, fake, connected):
    revoke(office.equipment, connected, office.connection(), office.tokens())
    (asked,) = fake.asked("/revoke")
    assert asked.form["token_type_hint"] == "refresh_token"
    assert not fake.refreshes
    assert not fake.accounts


def test_where_there_is_no_place_for_it_nothing_is_said(office, fake, connected):
    fake.metadata = {"revocation_endpoint": None}
    office.equipment.discovery.forget(connected, fake.issuer)
    revoke(office.equipment, connected, office.connection(), office.tokens())
    assert not fake.asked("/revoke")


def test_one_that_does_not_hear_it_is_named(office, fake, connected):
    fake.replies["/revoke"] = lambda _: Reply(503, b"")
    with pytest.raises(Unanswered, match="status 503"):
        revoke(office.equipment, connected, office.connection(), office.tokens())
