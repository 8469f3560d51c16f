"""T-40: a policy that was cut short, as a database or as a file, is none, or says nothing new."""

from __future__ import annotations

import pytest
from sqlalchemy.exc import DatabaseError

from authz.errors import PolicyBroken, RuleRefused
from authz.policy.file import read
from authz.policy.policy import Action, load_policy
from authz.tables import Rule
from registry.database import Database, sqlite_url
from tests.fakes.parties import database_in, principal

EVE = principal("user:eve")
PAGE = 4096
COUNT = 400


def filled(data) -> bytes:
    """A database in which everything is allowed by the first rule, and each thing forbidden by one of its own."""
    with database_in(data) as database:
        with database.change() as session:
            session.add(Rule(id="a", subject="user:eve", object="notes.*", action="*", note="x" * 200))
            for number in range(COUNT):
                name = f"notes.t{number}"
                session.add(Rule(id=f"d{number}", subject="user:eve", object=name, action="*", effect="deny"))
        with database.read() as session:
            session.connection().exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    return (data / "ostiary.db").read_bytes()


def forbidden(data) -> int:
    database = Database(sqlite_url(data))
    try:
        with database.read() as session:
            policy = load_policy(session, 1)
    finally:
        database.close()
    names = [f"notes.t{number}" for number in range(COUNT)]
    return sum(not policy.decide(EVE, "default", name, Action.CALL) for name in names)


@pytest.mark.sqlite
def test_t_40_a_truncated_database_gives_the_whole_policy_or_none(tmp_path):
    whole = filled(tmp_path / "whole")
    assert forbidden(tmp_path / "whole") == COUNT
    pages = len(whole) // PAGE
    assert pages > 10
    for number, size in enumerate([*range(0, pages, max(1, pages // 12)), pages - 1, pages - 0.5]):
        data = tmp_path / f"cut{number}"
        data.mkdir()
        (data / "ostiary.db").write_bytes(whole[: int(size * PAGE)])
        try:
            assert forbidden(data) == COUNT, f"{size} of {pages} pages"
        except (DatabaseError, PolicyBroken):
            continue


WHOLE = """rules:
- {subject: 'group:staff', object: 'notes.*', action: call}
- {subject: 'group:staff', object: 'notes.delete_everything', action: call, effect: deny}
- {subject: 'user:eve', object: 'clock.now', action: list, ends_at: 2027-01-01T00:00:00Z}
roles:
- {subject: 'user:eve', role: keeper}
"""


def test_t_40_a_truncated_file_is_refused_or_says_nothing_that_the_whole_does_not() -> None:
    whole, refused = read(WHOLE), 0
    assert len(whole.rules) == 3
    for size in range(len(WHOLE)):
        try:
            part = read(WHOLE[:size])
        except RuleRefused:
            refused += 1
            continue
        assert set(part.rules) <= set(whole.rules)
        assert set(part.roles) <= set(whole.roles)
    assert refused > len(WHOLE) / 2
