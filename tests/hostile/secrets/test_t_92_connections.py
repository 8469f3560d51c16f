"""T-92: tokens of connections that somebody with the database moved, put back or changed are never sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlmodel import select

from gateway.credentials import ConnectionNeeded
from gateway.credentials.connections.deeds import end, give
from gateway.credentials.connections.tending import Tending
from gateway.credentials.kept import Kept
from gateway.credentials.static import Static
from registry.credentials.connections import HEADER, TOKENS, owner
from registry.tables import Auth, Connection, ConnectionState, Secret
from tests.fakes.servers.upstream_oauth import Upstream, serving
from tests.gateway.credentials.oauth.settled import Settled, settled

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from registry.catalogue import Upstream as Reached

PEOPLE = ("usr_alice", "usr_bob")


@pytest.fixture
def fake() -> Iterator[Upstream]:
    made = Upstream()
    with serving(made):
        yield made


@pytest.fixture
def office(tmp_path: Path, fake: Upstream) -> Iterator[Settled]:
    with settled(tmp_path, fake.origin) as made:
        yield made


@pytest.fixture
def notes(fake: Upstream, office: Settled) -> Reached:
    upstream = office.server(fake.url)
    for person in PEOPLE:
        office.connect(fake, upstream, person)
    return upstream


def secret(office: Settled, subject: str, slug: str = "notes", purpose: str = TOKENS) -> Secret:
    with office.office.database.read() as session:
        return session.get_one(Secret, (owner(slug, subject), purpose))


def write(office: Settled, subject: str, slug: str = "notes", **columns: object) -> None:
    with office.office.database.change() as session:
        row = session.get_one(Secret, (owner(slug, subject), TOKENS))
        for name, value in columns.items():
            setattr(row, name, value)
        session.add(row)


def refused(office: Settled, upstream: Reached, subject: str = "usr_alice") -> bool:
    """Nothing is given, only a person can go on, and it stays like that."""
    source = Kept(office.equipment)
    for _ in range(2):
        with pytest.raises(ConnectionNeeded, match="connected again"):
            source.obtain(office.asked(upstream, subject))
    row = office.connection(upstream.slug, subject)
    assert row is not None
    return row.state == ConnectionState.NEEDS_RECONNECT


def test_t_92_two_people_whose_tokens_were_swapped_both_connect_anew(office: Settled, notes: Reached) -> None:
    alice, bob = (secret(office, person) for person in PEOPLE)
    write(office, "usr_alice", sealed=bob.sealed, version=bob.version, key_id=bob.key_id)
    write(office, "usr_bob", sealed=alice.sealed, version=alice.version, key_id=alice.key_id)
    assert refused(office, notes)
    assert refused(office, notes, "usr_bob")


def test_t_92_tokens_that_were_put_back_are_not_used(fake: Upstream, office: Settled, notes: Reached) -> None:
    before = secret(office, "usr_alice")
    office.connect(fake, notes)  # another account, perhaps because the first was taken over
    write(office, "usr_alice", sealed=before.sealed, version=before.version, key_id=before.key_id)
    assert refused(office, notes)


def test_t_92_tokens_of_one_server_do_not_open_at_another(fake: Upstream, office: Settled, notes: Reached) -> None:
    board = office.server(fake.url, "board")
    office.connect(fake, board)
    taken = secret(office, "usr_alice")
    write(office, "usr_alice", "board", sealed=taken.sealed, version=taken.version, key_id=taken.key_id)
    assert refused(office, board)


@pytest.mark.parametrize("place", [0, 11, 12, 40, -1])
def test_t_92_a_bit_that_was_turned_opens_nothing(office: Settled, notes: Reached, place: int) -> None:
    sealed = bytearray(secret(office, "usr_alice").sealed)
    sealed[place] ^= 1
    write(office, "usr_alice", sealed=bytes(sealed))
    assert refused(office, notes)


def test_t_92_a_key_that_is_not_here_opens_nothing(office: Settled, notes: Reached) -> None:
    write(office, "usr_alice", key_id="7")
    assert refused(office, notes)


def test_t_92_tokens_that_were_taken_out_are_missed(office: Settled, notes: Reached) -> None:
    with office.office.database.change() as session:
        session.delete(session.get_one(Secret, (owner("notes", "usr_alice"), TOKENS)))
    assert refused(office, notes)


def test_t_92_a_connection_that_was_ended_is_not_brought_back_by_its_row(office: Settled, notes: Reached) -> None:
    """State is not sealed; but with the state the tokens went."""
    kept = secret(office, "usr_alice")
    end(office.equipment, "notes", "usr_alice", who="user:alice")
    tending = Tending(office.equipment)
    tending.look()
    tending._threads.shutdown(wait=True)
    with office.office.database.change() as session:
        session.add(Secret(**kept.model_dump()))
        row = session.get_one(Connection, ("notes", "usr_alice"))
        row.state, row.account = ConnectionState.CONNECTED, "x"
    assert refused(office, notes)


def test_t_92_a_row_that_says_whose_it_is_wrongly_opens_nothing(office: Settled, notes: Reached) -> None:
    with office.office.database.change() as session:
        session.delete(session.get_one(Connection, ("notes", "usr_bob")))
        session.flush()
        session.get_one(Connection, ("notes", "usr_alice")).subject = "usr_bob"
        for row in session.exec(select(Secret).where(Secret.owner == owner("notes", "usr_bob"))):
            session.delete(row)
        session.flush()
        session.get_one(Secret, (owner("notes", "usr_alice"), TOKENS)).owner = owner("notes", "usr_bob")
    assert refused(office, notes, "usr_bob")


def test_t_92_values_that_people_gave_do_not_move_either(office: Settled, fake: Upstream) -> None:
    keyed = office.server(fake.url, "keyed", Auth.STATIC, per="person", header="X-Key")
    for person in PEOPLE:
        give(office.equipment, keyed, person, f"key-of-{person}".encode(), who="user:x")
    source = Static(office.equipment)
    assert source.obtain(office.asked(keyed)).credential.value == b"key-of-usr_alice"
    bob = secret(office, "usr_bob", "keyed", HEADER)
    with office.office.database.change() as session:
        row = session.get_one(Secret, (owner("keyed", "usr_alice"), HEADER))
        row.sealed, row.version, row.key_id = bob.sealed, bob.version, bob.key_id
    with pytest.raises(ConnectionNeeded, match="connected again"):
        source.obtain(office.asked(keyed))
