"""Guessing passwords."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest
from argon2 import Type, extract_parameters
from hypothesis import given
from hypothesis import strategies as st
from sqlmodel import SQLModel, select

from authz.errors import AccountRefused, SignInBusy, SignInRefused
from authz.people import passwords, throttle
from authz.people.accounts import add_person, new_hash
from authz.people.signin import sign_in
from authz.tables import FailedSignIns
from registry.database import Database, sqlite_url
from tests.fakes import hashing
from tests.fakes.costs import cost
from tests.servers.postgres import postgresql

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PASSWORD = "correct horse battery"
HERE = "203.0.113.7"


@pytest.fixture(autouse=True, scope="module")
def _hashed_as_it_is() -> Iterator[None]:
    with hashing.as_it_is():
        yield


@pytest.fixture(scope="module")
def postgresql_url() -> Iterator[str]:
    with postgresql() as url:
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.servers)])
def database(request: pytest.FixtureRequest, tmp_path: Path, alices_hash: str) -> Iterator[Database]:
    url = sqlite_url(tmp_path) if request.param == "sqlite" else request.getfixturevalue("postgresql_url")
    opened = Database(url)
    SQLModel.metadata.drop_all(opened.engine)
    SQLModel.metadata.create_all(opened.engine)
    with opened.change() as session:
        add_person(session, "alice", password_hash=alices_hash)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def alices_hash(_hashed_as_it_is: None) -> str:
    return new_hash("alice", PASSWORD)


def fail(database: Database, handle: str, address: str, now: float) -> SignInRefused:
    with pytest.raises(SignInRefused) as refused:
        sign_in(database, handle, "not it", address, now)
    return refused.value


def attempt(database: Database, handle: str, address: str, now: float) -> int:
    """For how long the next one is sent away; a password is not looked at."""
    try:
        throttle.count_attempt(database, handle, address, now)
    except SignInRefused as refused:
        return refused.retry_after
    return 0


def test_the_right_password_signs_in(database: Database) -> None:
    assert sign_in(database, "alice", PASSWORD, HERE, 1000.0).handle == "alice"


@pytest.mark.parametrize("password", ["", "x", PASSWORD + " ", PASSWORD.upper(), "x" * 10_000, "\0", "é" * 300])
def test_any_other_password_does_not(database: Database, password: str) -> None:
    with pytest.raises(SignInRefused):
        sign_in(database, "alice", password, HERE, 1000.0)


def test_five_failures_pause_an_account_whether_it_exists_or_not(database: Database) -> None:
    for handle in ("alice", "nobody"):
        pauses = [attempt(database, handle, HERE, 1000.0) for _ in range(throttle.ACCOUNT_LIMIT + 1)]
        assert pauses[:-1] == [0] * throttle.ACCOUNT_LIMIT
        assert pauses[-1] == throttle.FIRST_PAUSE + 1
    assert attempt(database, "alice", HERE, 1001.0) > 0


def test_while_an_account_is_paused_the_right_password_waits_too(database: Database) -> None:
    for _ in range(throttle.ACCOUNT_LIMIT):
        fail(database, "alice", HERE, 1000.0)
    with pytest.raises(SignInRefused):
        sign_in(database, "alice", PASSWORD, HERE, 1001.0)
    assert sign_in(database, "alice", PASSWORD, HERE, 1000.0 + throttle.FIRST_PAUSE + 1).handle == "alice"


def test_pauses_grow_and_have_an_end(database: Database) -> None:
    now, pauses = 1000.0, []
    for _ in range(throttle.ACCOUNT_LIMIT - 1):
        attempt(database, "alice", HERE, now)
    for _ in range(8):
        assert attempt(database, "alice", HERE, now) == 0
        pauses.append(attempt(database, "alice", HERE, now))
        now += pauses[-1]
    assert pauses == sorted(pauses)
    assert pauses[0] < pauses[1] < pauses[2]
    assert pauses[-1] == throttle.LONGEST_PAUSE + 1


def test_failures_spread_over_time_pause_nobody(database: Database) -> None:
    for minute in range(20):
        assert attempt(database, "alice", HERE, 1000.0 + 61 * minute) == 0


def test_twenty_failures_pause_an_address_over_many_accounts(database: Database) -> None:
    for number in range(throttle.ADDRESS_LIMIT):
        assert attempt(database, f"guess{number}", HERE, 1000.0) == 0
    assert attempt(database, "another", HERE, 1000.0) > 0
    assert sign_in(database, "alice", PASSWORD, "203.0.113.8", 1000.0).handle == "alice"


def test_who_is_paused_cannot_fill_the_table_with_names(database: Database) -> None:
    for number in range(throttle.ADDRESS_LIMIT):
        attempt(database, f"ghost{number}", HERE, 1000.0)
    for number in range(50):
        assert attempt(database, f"another{number}", HERE, 1001.0) > 0
    with database.read() as session:
        assert len(session.exec(select(FailedSignIns)).all()) == throttle.ADDRESS_LIMIT + 1


def test_one_host_of_ipv6_is_one_address_however_many_it_has() -> None:
    assert throttle.address_key("2001:db8::1") == throttle.address_key("2001:db8::ffff:1")
    assert throttle.address_key("2001:db8::1") != throttle.address_key("2001:db8:0:1::1")
    assert throttle.address_key("::ffff:203.0.113.7") == throttle.address_key("203.0.113.7")


def test_who_signs_in_rightly_owes_nothing(database: Database) -> None:
    for _ in range(throttle.ADDRESS_LIMIT + 2):
        assert attempt(database, "alice", HERE, 1000.0) == 0
        throttle.take_back(database, "alice", HERE)


def test_guesses_sent_at_once_are_counted_one_by_one(database: Database) -> None:
    refusals: list[str] = []

    def guess() -> None:
        try:
            sign_in(database, "alice", "not it", HERE, 1000.0)
        except SignInRefused as refused:
            refusals.append(refused.reason)
        except SignInBusy:
            refusals.append("busy")

    threads = [threading.Thread(target=guess) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert refusals.count("wrong_password") <= throttle.ACCOUNT_LIMIT
    assert len(refusals) == 16


def test_an_unknown_name_costs_what_a_wrong_password_costs(database: Database) -> None:
    fail(database, "warm", "198.51.100.1", 1.0)
    known = _cost(lambda: fail(database, "alice", HERE, 1000.0))
    unknown = _cost(lambda: fail(database, "nobody", HERE, 1000.0))
    assert 0.2 < known / unknown < 5


def _cost(act: object) -> float:
    return cost(lambda: [act() for _ in range(3)], tries=1)  # type: ignore[operator]


def test_a_hash_costs_whoever_steals_it_what_the_standards_ask_for(alices_hash: str) -> None:
    """OWASP's Password Storage Cheat Sheet has 19 MiB and two passes as the least for one lane."""
    made = extract_parameters(alices_hash)
    assert made.type is Type.ID
    assert (made.memory_cost >= 19 * 1024, made.time_cost >= 2, made.salt_len >= 16, made.hash_len >= 16) == (True,) * 4


def test_at_most_two_passwords_are_hashed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    lock, working, most = threading.Lock(), 0, 0
    both = threading.Event()

    class Slow:
        def hash(self, _password: str) -> str:
            nonlocal working, most
            with lock:
                working += 1
                most = max(most, working)
                if working == 2:
                    both.set()
            both.wait(5)
            with lock:
                working -= 1
            return "hash"

    monkeypatch.setattr(passwords, "_HASHER", Slow())
    threads = [threading.Thread(target=passwords.hash_password, args=("x",)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert most == 2


def test_a_crowd_before_the_door_is_sent_away_instead_of_filling_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    go = threading.Event()

    class Stuck:
        def hash(self, _password: str) -> str:
            go.wait(10)
            return "hash"

    monkeypatch.setattr(passwords, "_HASHER", Stuck())
    monkeypatch.setattr(passwords, "_WAITING", threading.BoundedSemaphore(3))
    threads = [threading.Thread(target=passwords.hash_password, args=("x",)) for _ in range(3)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 60
    while passwords._WAITING._value and time.monotonic() < deadline:
        time.sleep(0.01)
    with pytest.raises(SignInBusy):
        passwords.hash_password("x")
    go.set()
    for thread in threads:
        thread.join(10)


@given(st.text(max_size=12), st.text(max_size=300))
def test_a_password_that_is_taken_is_long_and_not_the_name(handle: str, password: str) -> None:
    try:
        passwords.check_strength(password, handle)
    except AccountRefused:
        return
    assert passwords.SHORTEST <= len(password) <= passwords.LONGEST
    assert password.lower() != handle.lower()
