"""A refresh token is presented once, whoever needs what it gives, and what comes of it is never lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from sqlalchemy.exc import OperationalError

from gateway.credentials import CredentialUnavailable
from gateway.credentials.connections import renewing
from gateway.credentials.connections.deeds import end
from gateway.credentials.kept import Kept
from registry.credentials import connections
from registry.tables import ConnectionState
from tests.servers import on_postgresql

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fakes.providers.openid import Heard, Reply
    from tests.fakes.servers.upstream_oauth import Upstream
    from tests.gateway.credentials.oauth.settled import Settled

PROCESSES, THREADS = 2, 6


def refreshes(fake: Upstream) -> int:
    return sum(heard.form.get("grant_type") == "refresh_token" for heard in fake.asked("/token"))


def slowly(fake: Upstream, seconds: float = 0.3) -> None:
    """Long enough for all to be there at once, whatever the machine does."""

    def give(heard: Heard) -> Reply:
        time.sleep(seconds)
        return fake.give(heard)

    fake.replies["/token"] = give


def test_two_processes_with_many_threads_each_present_a_refresh_token_once(
    fake: Upstream, office: Settled, tmp_path: Path
) -> None:
    upstream = office.server(fake.url)
    office.connect(fake, upstream)
    slowly(fake)
    command = [
        sys.executable, "-m", "tests.gateway.credentials.hammer", str(tmp_path), fake.origin, "7200", str(THREADS)
    ]  # fmt: skip
    pipe = subprocess.PIPE
    environment = os.environ | on_postgresql.environment(tmp_path)
    started = [subprocess.Popen(command, text=True, stdin=pipe, stdout=pipe, env=environment) for _ in range(PROCESSES)]
    try:
        for one in started:
            assert one.stdout is not None
            assert one.stdout.readline() == "ready\n"
        said = [one.communicate(timeout=60)[0] for one in together(started)]
    finally:
        for one in started:
            one.kill()
            one.wait()
    assert refreshes(fake) == 1
    assert len({digest for text in said for digest in json.loads(text)}) == 1


def together(started: list[subprocess.Popen[str]]) -> list[subprocess.Popen[str]]:
    for one in started:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()
    return started


def test_many_threads_of_one_process_are_given_what_one_of_them_was_given(fake: Upstream, office: Settled) -> None:
    upstream = office.server(fake.url)
    office.connect(fake, upstream)
    slowly(fake)
    office.later(7200)
    source, asked = Kept(office.equipment), office.asked(upstream)
    with ThreadPoolExecutor(12) as pool:
        values = {held.credential.value for held in pool.map(source.obtain, [asked] * 12)}
    assert (len(values), refreshes(fake)) == (1, 1)


def test_what_was_answered_is_stored_although_the_database_was_away(
    fake: Upstream, office: Settled, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream = office.server(fake.url)
    office.connect(fake, upstream)
    office.later(7200)
    keep, times = connections.renew, []

    def failing(*arguments: object) -> object:
        times.append(1)
        if len(times) < 4:
            raise OperationalError("INSERT", {}, Exception("disk I/O error"))
        return keep(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(connections, "renew", failing)
    monkeypatch.setattr(renewing, "STORING", (0.0, 0.0, 0.01, 0.01))
    held = Kept(office.equipment).obtain(office.asked(upstream))
    assert held.credential.value == b"Bearer " + office.tokens().access.encode()
    assert (len(times), refreshes(fake)) == (4, 1)


def test_what_was_answered_is_stored_although_nothing_can_be_put_on_record(
    fake: Upstream, office: Settled, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gateway.journal import JournalDown

    upstream = office.server(fake.url)
    office.connect(fake, upstream)
    before = office.tokens()
    office.later(7200)

    def down(*_: object, **__: object) -> None:
        raise JournalDown

    monkeypatch.setattr(type(office.office.journal), "note", down)
    Kept(office.equipment).obtain(office.asked(upstream))
    assert office.tokens().refresh not in {"", before.refresh}


def test_tokens_for_what_was_ended_meanwhile_are_given_back(fake: Upstream, office: Settled) -> None:
    upstream = office.server(fake.url)
    office.connect(fake, upstream)
    first = office.tokens()
    office.later(7200)

    def meanwhile(heard: Heard) -> Reply:
        end(office.equipment, "notes", "usr_alice", who="user:alice")
        return fake.give(heard)

    fake.replies["/token"] = meanwhile
    with pytest.raises(CredentialUnavailable, match="it was ended here"):
        Kept(office.equipment).obtain(office.asked(upstream))
    assert not fake.refreshes
    assert list(fake.accounts) == [first.access]  # of which nobody has the refresh token any more


def test_who_waits_for_another_waits_no_longer_than_it_should(
    fake: Upstream, office: Settled, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream = office.server(fake.url)
    office.connect(fake, upstream)
    office.later(7200)
    answered = threading.Event()

    def hang(heard: Heard) -> Reply:
        answered.wait(30)
        return fake.give(heard)

    fake.replies["/token"] = hang
    monkeypatch.setattr(renewing, "PATIENCE", 0.2)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(Kept(office.equipment).obtain, office.asked(upstream))
        while not refreshes(fake):
            assert not first.done(), first.result()
            time.sleep(0.01)
        with pytest.raises(CredentialUnavailable, match="is being renewed"):
            Kept(office.equipment).obtain(office.asked(upstream))
        answered.set()
        assert first.result(20).credential.value.startswith(b"Bearer at-usr_alice-")
    assert refreshes(fake) == 1


def test_a_process_that_dies_with_the_answer_leaves_a_connection_that_is_tried_again(
    fake: Upstream, office: Settled, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one hole: the answer is gone. Where refresh tokens may be used twice nobody notices."""
    fake.rotates = False
    upstream = office.server(fake.url)
    office.connect(fake, upstream)
    office.later(7200)

    class Killed(BaseException):
        pass

    def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(renewing, "_keep", killed)
        with pytest.raises(Killed):
            Kept(office.equipment).obtain(office.asked(upstream))
    row = office.connection()
    assert row is not None
    assert (row.state, row.attempts) == (ConnectionState.REFRESHING, 0)
    assert row.refresh_at is not None
    assert Kept(office.equipment).obtain(office.asked(upstream)).credential.value.startswith(b"Bearer at-")
