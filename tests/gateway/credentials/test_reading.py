"""What the gateway itself reads a server with, where people have accounts of their own: never theirs."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from sqlmodel import select

from gateway.credentials import Asked, ConnectionNeeded
from gateway.credentials.connections.deeds import give
from gateway.credentials.holding import Credentials
from gateway.credentials.static import REFUSED, Static
from gateway.portal.calls.call import is_stale
from gateway.rendezvous.memory import MemoryRendezvous
from gateway.upstream.connections import open_upstreams
from gateway.upstream.refreshing.refresh import refresh
from registry.credentials.authenticating import load_credentials
from registry.database import Concern
from registry.tables import Auth, Connection, ConnectionState, Secret, Server, ServerState
from tests.fakes.servers.raw import principal
from tests.fakes.servers.upstream_authority import Account
from tests.fakes.servers.upstream_oauth import Upstream, serving
from tests.gateway.credentials.oauth.settled import Settled, settled

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def fake() -> Iterator[Upstream]:
    made = Upstream()
    with serving(made):
        yield made


@pytest.fixture
def office(tmp_path: Path, fake: Upstream) -> Iterator[Settled]:
    with settled(tmp_path, fake.origin) as made:
        yield made


async def read(office: Settled, slug: str = "notes") -> Server:
    """One look, as the background takes it; the server as it is known afterwards."""
    rendezvous = MemoryRendezvous()
    upstreams, credentials = open_upstreams(office.office, rendezvous), Credentials(office.office)
    await refresh(office.office, upstreams, credentials, slug)
    credentials.close()
    await upstreams.close()
    await rendezvous.close()
    with office.office.database.read() as session:
        return session.get_one(Server, slug)


def tokens_seen(fake: Upstream) -> set[str]:
    return {heard.headers.get("authorization", "") for heard in fake.heard if heard.path == fake.path}


async def test_a_server_that_lists_for_everybody_is_read_as_nobody(fake: Upstream, office: Settled) -> None:
    fake.open_lists = True
    upstream = office.server(fake.url)
    office.connect(fake, upstream)
    server = await read(office)
    assert (server.failure, server.failing_since) == ("", None)
    assert server.probed_at is not None
    assert tokens_seen(fake) == {""}


async def test_a_server_that_lists_for_nobody_says_that_it_lacks_an_account_and_is_not_down(
    fake: Upstream, office: Settled
) -> None:
    upstream = office.server(fake.url)
    office.connect(fake, upstream)
    server = await read(office)
    assert "/connect/notes/shared" in server.failure
    assert server.trouble == "not-connected"
    assert tokens_seen(fake) == {""}
    with office.office.database.change(Concern.CATALOGUE) as session:
        session.get_one(Server, "notes").failing_since = time.time() - 86400
    assert not is_stale(office.upstream(), 900)


async def test_it_is_read_with_the_account_that_an_administrator_connected_for_it(
    fake: Upstream, office: Settled
) -> None:
    upstream = office.server(fake.url)
    office.connect(fake, upstream)
    office.come_back(fake.arrive(office.depart(upstream, subject=""), "reader"))
    server = await read(office)
    assert (server.failure, server.failing_since) == ("", None)
    assert all(seen.startswith("Bearer at-reader-") for seen in tokens_seen(fake) - {""})
    assert tokens_seen(fake) != {""}


async def test_a_shared_account_that_nobody_connected_is_said_and_the_server_not_asked(
    fake: Upstream, office: Settled
) -> None:
    office.server(fake.url, auth=Auth.OAUTH_SHARED)
    server = await read(office)
    assert "an administrator has to connect it" in server.failure
    assert tokens_seen(fake) == set()


async def test_a_reading_account_whose_token_is_refused_is_renewed_at_once(fake: Upstream, office: Settled) -> None:
    upstream = office.server(fake.url)
    office.come_back(fake.arrive(office.depart(upstream, subject=""), "reader"))
    fake.expire()
    aged(office)

    server = await read(office)

    assert (server.failure, server.failing_since) == ("", None)
    assert len(tokens_seen(fake) - {""}) == 2


@pytest.mark.parametrize("auth", [Auth.OAUTH_PERSON, Auth.OAUTH_SHARED])
async def test_a_reading_account_that_is_refused_for_good_has_to_be_connected_again_and_people_are_told(
    fake: Upstream, office: Settled, auth: Auth
) -> None:
    upstream = office.server(fake.url, auth=auth)
    office.come_back(fake.arrive(office.depart(upstream, subject=""), "reader"))
    fake.expire()
    fake.revoke("reader")
    aged(office)

    server = await read(office)

    assert server.trouble in {"credential", "not-connected"}
    row = office.connection(subject="")
    assert row is not None
    assert (row.state, row.why != "") == (ConnectionState.NEEDS_RECONNECT, True)
    assert office.written().count('"event":"connection.failed"') == 1


async def test_a_server_that_refuses_whatever_it_is_sent_is_not_sent_a_new_token_at_each_look(
    fake: Upstream, office: Settled
) -> None:
    upstream = office.server(fake.url)
    office.come_back(fake.arrive(office.depart(upstream, subject=""), "reader"))
    with office.office.database.change(Concern.CATALOGUE) as session:
        session.get_one(Server, "notes").failing_since = time.time()
        session.get_one(Server, "notes").trouble = "credential"
    fake.expire()
    aged(office)

    await read(office)

    assert [heard for heard in fake.asked("/token") if heard.form.get("grant_type") == "refresh_token"] == []


async def test_what_a_person_gave_and_the_server_refuses_is_shown_as_refused_and_they_are_told(
    fake: Upstream, office: Settled
) -> None:
    upstream = office.server(fake.url, auth=Auth.STATIC, per="person", header="Authorization", scheme="Bearer")
    give(office.equipment, upstream, "usr_alice", b"wrong", who="user:alice")
    source, asked = Static(office.equipment), office.asked(upstream)

    with pytest.raises(ConnectionNeeded, match="does not accept what you gave"):
        source.obtain(replace(asked, instead_of=source.obtain(asked).credential))

    row = office.connection()
    assert row is not None
    assert (row.state, row.why) == (ConnectionState.NEEDS_RECONNECT, REFUSED)
    assert office.written().count('"event":"connection.failed"') == 1
    with pytest.raises(ConnectionNeeded, match="does not accept what you gave"):
        source.obtain(asked)  # it is not sent there again
    give(office.equipment, upstream, "usr_alice", b"right", who="user:alice")
    assert source.obtain(asked).credential.value == b"Bearer right"


def aged(office: Settled) -> None:
    """As if the account had been connected an hour ago."""
    with office.office.database.change() as session:
        row = session.get_one(Connection, ("notes", ""))
        row.changed_at -= 3600


async def test_a_shared_account_that_was_tampered_with_suspends_its_server(fake: Upstream, office: Settled) -> None:
    """T-92."""
    upstream = office.server(fake.url, auth=Auth.OAUTH_SHARED)
    office.come_back(fake.arrive(office.depart(upstream, subject=""), "team"))
    with office.office.database.change() as session:
        row = session.exec(select(Secret).where(Secret.purpose == "tokens")).one()
        row.sealed = row.sealed[:-1] + bytes([row.sealed[-1] ^ 1])
    fake.heard.clear()
    server = await read(office)
    assert server.state == ServerState.SUSPENDED
    assert tokens_seen(fake) == set()


async def test_a_server_of_peoples_own_keys_is_read_with_a_line_of_ours_that_no_call_uses(
    fake: Upstream, office: Settled
) -> None:
    fake.accounts["reader"] = Account("reader", "us", frozenset())
    given = {"per": "person", "header": "Authorization", "scheme": "Bearer"}
    office.server(fake.url, auth=Auth.STATIC, secrets={"header": b"Authorization: Bearer reader"}, **given)
    server = await read(office)
    assert (server.failure, server.failing_since) == ("", None)
    assert tokens_seen(fake) == {"Bearer reader"}
    with office.office.database.read() as session:
        assert load_credentials(session, office.office.vault) == {}
    with pytest.raises(ConnectionNeeded):
        Credentials(office.office).obtain_now(Asked(upstream=office.upstream(), principal=principal("usr_alice")))


async def test_without_such_a_line_it_is_read_as_nobody_and_what_to_do_is_said(fake: Upstream, office: Settled) -> None:
    office.server(fake.url, auth=Auth.STATIC, per="person", header="X-Key")
    server = await read(office)
    assert server.trouble == "not-connected"
    assert "ostiary server credential notes --header-file" in server.failure
    assert tokens_seen(fake) == {""}


async def test_a_server_without_a_mode_that_wants_a_credential_says_how_to_set_one(
    fake: Upstream, office: Settled
) -> None:
    office.server(fake.url, auth=Auth.NONE)
    server = await read(office)
    assert "ostiary server auth notes MODE" in server.failure
    assert "/connect/" not in server.failure
