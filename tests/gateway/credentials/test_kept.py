"""The token of an account that somebody connected, against an authorization server on loopback."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from gateway.credentials import ConnectionNeeded, CredentialTampered, CredentialUnavailable
from gateway.credentials.connections.deeds import end
from gateway.credentials.kept import Kept
from registry.database import Concern
from registry.tables import Auth, Connection, ConnectionState, Secret, Server
from tests.fakes.providers.openid import Heard, Reply

if TYPE_CHECKING:
    from gateway.credentials import Held
    from registry.catalogue import Upstream as Reached
    from tests.fakes.servers.upstream_oauth import Upstream
    from tests.gateway.credentials.oauth.settled import Settled

HOUR = 3600.0


def obtain(office: Settled, upstream: Reached, person: str = "usr_alice", **more: object) -> Held:
    return Kept(office.equipment).obtain(office.asked(upstream, person, **more))


def refreshes(fake: Upstream) -> int:
    return sum(heard.form.get("grant_type") == "refresh_token" for heard in fake.asked("/token"))


def state(office: Settled, subject: str = "usr_alice") -> tuple[str, str]:
    row = office.connection(subject=subject)
    assert row is not None
    return row.state, row.why


def unavailable(_: Heard) -> Reply:
    return Reply(503, {"error": "down for maintenance, call 555-EVIL"}, (("Retry-After", "120"),))


def test_a_person_has_the_token_of_the_account_that_they_connected(fake: Upstream, office: Settled) -> None:
    upstream = office.server(fake.url)
    row = office.connect(fake, upstream)
    office.connect(fake, upstream, "usr_bob")
    held = obtain(office, upstream)
    assert held.credential.value.startswith(b"Bearer at-usr_alice-")
    assert (held.credential.subject, held.credential.account, held.credential.origin) == (
        "usr_alice", row.account, fake.origin,
    )  # fmt: skip
    assert obtain(office, upstream, "usr_bob").credential.value.startswith(b"Bearer at-usr_bob-")
    assert refreshes(fake) == 0


def test_who_has_connected_nothing_is_asked_to_and_hears_of_nobody_elses(fake: Upstream, office: Settled) -> None:
    upstream = office.server(fake.url)
    office.connect(fake, upstream, "usr_bob")
    with pytest.raises(ConnectionNeeded, match="you have to connect your account at Notes first") as needed:
        obtain(office, upstream)
    assert (needed.value.server, needed.value.subject) == ("notes", "usr_alice")


def test_everybody_uses_the_shared_account_and_only_an_administrator_connects_it(
    fake: Upstream, office: Settled
) -> None:
    upstream = office.server(fake.url, auth=Auth.OAUTH_SHARED)
    with pytest.raises(ConnectionNeeded, match="an administrator has to connect it") as needed:
        obtain(office, upstream)
    assert needed.value.subject == ""
    back = fake.arrive(office.depart(upstream, "usr_alice", subject=""), "team")
    office.come_back(back)
    held = [obtain(office, upstream, person) for person in ("usr_alice", "usr_bob")]
    assert held[0].credential == held[1].credential
    assert held[0].credential.value.startswith(b"Bearer at-team-")


def test_a_token_that_has_run_out_is_renewed_once_and_the_account_stays_the_same(
    fake: Upstream, office: Settled
) -> None:
    upstream = office.server(fake.url)
    before = office.connect(fake, upstream)
    first = obtain(office, upstream)
    office.later(2 * HOUR)
    second = obtain(office, upstream)
    assert second.credential.value != first.credential.value
    assert second.credential.account == first.credential.account == before.account
    assert refreshes(fake) == 1
    assert obtain(office, upstream).credential == second.credential
    assert refreshes(fake) == 1
    assert '"event":"connection.renewed"' in office.written()


def test_a_token_that_has_run_out_and_cannot_be_renewed_needs_its_person(fake: Upstream, office: Settled) -> None:
    fake.gives_refresh = False
    upstream = office.server(fake.url)
    office.connect(fake, upstream)
    obtain(office, upstream)
    office.later(2 * HOUR)
    with pytest.raises(ConnectionNeeded, match="your account at Notes has to be connected again"):
        obtain(office, upstream)
    assert state(office)[0] == ConnectionState.NEEDS_RECONNECT
    office.connect(fake, upstream)
    assert obtain(office, upstream).credential.value.startswith(b"Bearer at-usr_alice-")
    assert state(office) == (ConnectionState.CONNECTED, "")


def test_what_the_authorization_server_refuses_to_renew_is_never_asked_for_again(
    fake: Upstream, office: Settled
) -> None:
    upstream = office.server(fake.url)
    office.connect(fake, upstream)
    fake.revoke("usr_alice")
    office.later(2 * HOUR)
    for _ in range(3):
        with pytest.raises(ConnectionNeeded) as needed:
            obtain(office, upstream)
        assert "EVIL" not in str(needed.value)
    assert refreshes(fake) == 1
    assert state(office)[0] == ConnectionState.NEEDS_RECONNECT
    assert '"event":"connection.failed"' in office.written()


def test_an_authorization_server_that_is_away_is_asked_again_later_and_not_by_every_call(
    fake: Upstream, office: Settled
) -> None:
    upstream = office.server(fake.url)
    office.connect(fake, upstream)
    fake.replies["/token"] = unavailable
    office.later(2 * HOUR)
    for _ in range(5):
        with pytest.raises(CredentialUnavailable, match=r"we try again in 1[0-9]{2} s") as later:
            obtain(office, upstream)
        assert not isinstance(later.value, ConnectionNeeded)
    assert refreshes(fake) == 1
    assert state(office)[0] == ConnectionState.REFRESHING
    del fake.replies["/token"]
    office.later(121)
    assert obtain(office, upstream).credential.value.startswith(b"Bearer at-usr_alice-")
    assert state(office) == (ConnectionState.CONNECTED, "")
    assert office.written().count('"event":"connection.delayed"') == 1


def test_a_token_that_the_server_refuses_is_renewed_although_it_has_not_run_out(
    fake: Upstream, office: Settled
) -> None:
    upstream = office.server(fake.url)
    office.connect(fake, upstream)
    used = obtain(office, upstream).credential
    fake.expire()
    office.later(120)
    after = obtain(office, upstream, instead_of=used).credential
    assert after.value != used.value
    assert obtain(office, upstream, instead_of=used).credential == after
    assert refreshes(fake) == 1


def test_a_token_that_is_refused_the_moment_it_was_given_is_not_renewed_forever(
    fake: Upstream, office: Settled
) -> None:
    upstream = office.server(fake.url)
    office.connect(fake, upstream)
    for _ in range(3):
        with pytest.raises(CredentialUnavailable, match=r"a moment ago: call again in a minute.*/connect/notes"):
            obtain(office, upstream, instead_of=obtain(office, upstream).credential)
    assert refreshes(fake) == 0
    assert state(office)[0] == ConnectionState.CONNECTED


def test_an_account_that_was_ended_is_used_no_more(fake: Upstream, office: Settled) -> None:
    upstream = office.server(fake.url)
    office.connect(fake, upstream)
    assert end(office.equipment, "notes", "usr_alice", who="user:alice")
    assert not end(office.equipment, "notes", "usr_alice", who="user:alice")
    with pytest.raises(ConnectionNeeded, match="it was ended here"):
        obtain(office, upstream)
    assert office.written().count('"event":"connection.revoked"') == 1


def test_tokens_are_for_the_server_where_it_was_and_not_where_it_is(fake: Upstream, office: Settled) -> None:
    """T-49: whoever can move a server to another address does not get the tokens of its people."""
    upstream = office.server(fake.url)
    office.connect(fake, upstream)
    with office.office.database.change(Concern.CATALOGUE) as session:
        session.get_one(Server, "notes").url = fake.url.replace("127.0.0.1", "127.0.0.2")
    with office.office.database.read() as session:
        from registry.catalogue.assembling import upstream_of

        moved = upstream_of(session.get_one(Server, "notes"), [fake.origin.replace("127.0.0.1", "127.0.0.2")])
    with pytest.raises(ConnectionNeeded, match="at another address now"):
        obtain(office, moved)
    assert state(office)[0] == ConnectionState.NEEDS_RECONNECT


def test_tokens_of_another_authorization_server_than_the_configured_one_are_not_sent(
    fake: Upstream, office: Settled
) -> None:
    upstream = office.server(fake.url)
    office.connect(fake, upstream)
    with office.office.database.change(Concern.CATALOGUE) as session:
        session.get_one(Server, "notes").auth_settings = {"issuer": "https://other.example"}
    with pytest.raises(ConnectionNeeded, match="another authorization server"):
        obtain(office, office.upstream())
    assert refreshes(fake) == 0


@pytest.mark.parametrize("auth", [Auth.OAUTH_PERSON, Auth.OAUTH_SHARED])
def test_tokens_that_were_changed_are_not_sent(fake: Upstream, office: Settled, auth: Auth) -> None:
    """T-92: of a person, they have to connect again; of everybody, the server is suspended."""
    upstream = office.server(fake.url, auth=auth)
    subject = "" if auth is Auth.OAUTH_SHARED else "usr_alice"
    office.come_back(fake.arrive(office.depart(upstream, subject=subject), "alice"))
    with office.office.database.change() as session:
        from sqlmodel import select

        row = session.exec(select(Secret).where(Secret.purpose == "tokens")).one()
        row.sealed = row.sealed[:-1] + bytes([row.sealed[-1] ^ 1])
    wanted = CredentialTampered if auth is Auth.OAUTH_SHARED else ConnectionNeeded
    for _ in range(2):  # whoever comes first: what reads the server suspends it
        with pytest.raises(wanted, match="changed, moved or put back"):
            obtain(office, upstream)
    assert state(office, subject)[0] == ConnectionState.NEEDS_RECONNECT


def test_more_than_an_account_was_connected_for_is_asked_of_its_person(fake: Upstream, office: Settled) -> None:
    upstream = office.server(fake.url, scopes=("notes:read",))
    office.connect(fake, upstream)
    with pytest.raises(ConnectionNeeded) as needed:
        obtain(office, upstream, scopes=frozenset({"notes:read", "notes:write"}))
    assert needed.value.scopes == {"notes:read", "notes:write"}
    assert state(office)[0] == ConnectionState.CONNECTED


def test_a_credential_is_looked_at_again_before_its_token_runs_out(fake: Upstream, office: Settled) -> None:
    upstream = office.server(fake.url)
    office.connect(fake, upstream)
    held = obtain(office, upstream)
    assert held.renew_at <= time.time() + 301
    assert held.credential.until > time.time() + HOUR - 60


def test_a_token_of_a_few_seconds_is_used_for_most_of_them(fake: Upstream, office: Settled) -> None:
    fake.life = 20
    upstream = office.server(fake.url)
    office.connect(fake, upstream)
    first = obtain(office, upstream)
    assert obtain(office, upstream).credential == first.credential
    office.later(16)
    assert obtain(office, upstream).credential.value != first.credential.value
    assert refreshes(fake) == 1


def test_no_state_is_left_to_be_kept_by_a_row_that_nobody_connected(fake: Upstream, office: Settled) -> None:
    """A row that is put into the database, without anything sealed, opens nothing."""
    upstream = office.server(fake.url)
    with office.office.database.change() as session:
        session.add(Connection(server="notes", subject="usr_alice", state="connected", changed_at=1, connected_at=1))
    with pytest.raises(ConnectionNeeded):
        obtain(office, upstream)
