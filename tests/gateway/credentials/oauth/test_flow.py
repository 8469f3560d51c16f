"""Connecting an account: what is asked for, what comes back, and what is kept."""

from __future__ import annotations

import contextlib
import threading

import pytest

from gateway.credentials import ConnectionNeeded, CredentialUnavailable, Refused, Unanswered
from gateway.credentials.kept import Kept
from gateway.credentials.oauth.crowd import ALL, OF_PERSON, OF_SERVER, Crowd
from registry.tables import Auth
from tests.gateway.credentials.oauth.settled import query_of


def test_an_account_is_connected(office, fake):
    upstream = office.server(fake.url)
    connection = office.connect(fake, upstream)
    kept = office.tokens()
    assert (connection.state, connection.issuer) == ("connected", fake.issuer)
    assert fake.accounts[kept.access].person == "usr_alice"
    assert (kept.issuer, kept.audience) == (fake.issuer, fake.url)
    assert kept.refresh in fake.refreshes


def test_what_is_asked_for_is_bound_to_us_and_to_the_server(office, fake):
    upstream = office.server(fake.url)
    asked = query_of(office.depart(upstream))
    assert asked["resource"] == fake.url
    assert asked["code_challenge_method"] == "S256"
    assert asked["redirect_uri"] == f"{office.office.settings.base_url}/connect/notes/callback"
    assert "scope" not in asked


def test_the_token_request_names_the_resource_and_proves_the_code(office, fake):
    office.connect(fake, office.server(fake.url))
    (asked,) = fake.asked("/token")
    assert asked.form["resource"] == fake.url
    assert len(asked.form["code_verifier"]) >= 43


def test_the_challenge_says_which_scopes_to_ask_for(office, fake):
    fake.challenge = 'scope="notes:read notes:list"'
    fake.resource_metadata = {"scopes_supported": ["notes:everything"]}
    assert query_of(office.depart(office.server(fake.url)))["scope"] == "notes:read notes:list"


def test_without_a_challenge_the_metadata_says_it(office, fake):
    fake.resource_metadata = {"scopes_supported": ["notes:read", "notes:write"]}
    assert query_of(office.depart(office.server(fake.url)))["scope"] == "notes:read notes:write"


def test_what_an_administrator_says_goes_before_both(office, fake):
    fake.challenge = 'scope="notes:everything"'
    upstream = office.server(fake.url, scopes=["notes:read"])
    assert query_of(office.depart(upstream))["scope"] == "notes:read"


@pytest.mark.parametrize("offered", [["notes:read", "offline_access"], ["notes:read"], None])
def test_offline_access_is_asked_for_only_where_it_is_offered(office, fake, offered):
    fake.challenge = 'scope="notes:read"'
    fake.metadata = {"scopes_supported": offered}
    asked = query_of(office.depart(office.server(fake.url)))
    offline = offered is not None and "offline_access" in offered
    assert ("offline_access" in asked["scope"].split()) == offline
    assert asked.get("prompt") == ("consent" if offline else None)


def test_more_scopes_are_asked_for_together_with_those_that_were_given(office, fake):
    fake.challenge = 'scope="notes:read"'
    upstream = office.server(fake.url)
    office.connect(fake, upstream)
    asked = query_of(office.depart(upstream, scopes=["notes:write"]))
    assert set(asked["scope"].split()) == {"notes:read", "notes:write"}


def test_scopes_that_were_not_given_are_noticed(office, fake):
    fake.challenge = 'scope="notes:read notes:write"'
    fake.token = {"scope": "notes:read"}
    connection = office.connect(fake, office.server(fake.url))
    assert connection.scopes == ["notes:read"]


def test_where_the_answer_does_not_say_the_scopes_are_those_that_were_asked_for(office, fake):
    fake.challenge = 'scope="notes:read notes:write"'
    fake.token = {"scope": None}
    assert office.connect(fake, office.server(fake.url)).scopes == ["notes:read", "notes:write"]


def test_the_shared_account_is_nobodys(office, fake):
    upstream = office.server(fake.url, auth=Auth.OAUTH_SHARED)
    office.connect(fake, upstream, subject="")
    assert office.connection(subject="") is not None
    assert office.connection() is None


def test_the_record_says_who_connected_what_and_no_secret(office, fake):
    upstream = office.server(fake.url)
    departure = office.depart(upstream)
    back = fake.arrive(departure)
    office.come_back(back)
    written = office.written()
    assert "connection.connected" in written
    kept, state = office.tokens(), query_of(departure)["state"]
    assert all(secret not in written for secret in (kept.access, kept.refresh, state, query_of(back)["code"]))


def test_an_error_of_the_authorization_server_is_said_in_our_words(office, fake):
    upstream = office.server(fake.url)
    fake.answer = {"error": "access_denied", "error_description": "call 555-EVIL", "code": ""}
    with pytest.raises(Refused, match="said no") as refused:
        office.connect(fake, upstream)
    assert "EVIL" not in str(refused.value)
    assert office.connection() is None


def test_what_is_withheld_again_and_again_is_not_asked_for_for_ever(office, fake):
    """SEP-2350: few retries, then clear words."""
    fake.challenge = 'scope="notes:read"'
    fake.token = {"scope": "notes:read"}
    upstream = office.server(fake.url)
    office.connect(fake, upstream)
    wanting = office.asked(upstream, scopes=frozenset({"notes:write"}))
    for _ in range(3):
        with pytest.raises(ConnectionNeeded):
            Kept(office.equipment).obtain(wanting)
        office.connect(fake, upstream, scopes=["notes:write"])
    with pytest.raises(CredentialUnavailable, match="asked for 3 times") as given_up:
        Kept(office.equipment).obtain(wanting)
    assert not isinstance(given_up.value, ConnectionNeeded)
    fake.token = {}
    office.connect(fake, upstream, scopes=["notes:write"])
    assert Kept(office.equipment).obtain(wanting).credential


def test_an_authorization_server_that_hangs_leaves_room_for_everybody_else(office, fake, monkeypatch):
    """One person, and one server, keep few of the threads that all pages share; who comes too late is told at once."""
    goes_on, upstream, waiting = threading.Event(), office.server(fake.url), threading.Semaphore(0)

    def slow(*_args, **_more):
        waiting.release()
        goes_on.wait(60)
        raise Unanswered("it hung")

    def depart():
        with contextlib.suppress(Unanswered):
            office.depart(upstream)

    threads = [threading.Thread(target=depart) for _ in range(OF_PERSON)]
    with monkeypatch.context() as patched:
        patched.setattr(office.equipment.discovery, "find", slow)
        for thread in threads:
            thread.start()
        assert all(waiting.acquire(timeout=20) for _ in threads)
        with pytest.raises(Unanswered, match="others wait"):
            office.depart(upstream)
        goes_on.set()
        for thread in threads:
            thread.join(20)
    assert office.depart(upstream)


def test_of_everybody_together_some_wait_and_no_more():
    crowd = Crowd()
    with contextlib.ExitStack() as inside:
        for number in range(ALL):
            inside.enter_context(crowd.one(f"server-{number // OF_SERVER}", f"person-{number}"))
        with pytest.raises(Unanswered), crowd.one("another", "somebody"):
            pass
    with crowd.one("another", "somebody"):
        pass
