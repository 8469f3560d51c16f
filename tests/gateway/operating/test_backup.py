from __future__ import annotations

import base64
import json
import os
import shutil
import tarfile
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlmodel import select

from authz.tables import BrowserSession, Delegation, Person, RefreshToken, Rule
from gateway.assembly import open_office
from gateway.cli import main
from gateway.journal.verify import verify
from gateway.settings import Settings
from registry.credentials.connections import Tokens, connect, due, listed, revoke
from registry.database import Concern, Database, sqlite_url
from registry.tables import Epoch, Secret, Segment, Server
from tests.servers.postgres import postgresql

pytestmark = pytest.mark.sqlite  # the move to PostgreSQL and back has its own test here

CANARY = b"canary-of-a-sealed-secret"


@pytest.fixture
def data(tmp_path):
    """A data directory with a bit of everything, as a running gateway has it."""
    path = tmp_path / "data"
    office = open_office(Settings(data=path), create=True, role="gateway")
    with office.change("test.filled", Concern.POLICY, who="test") as (session, _):
        session.add(Person(id="usr_1", issuer="local", subject="alice", handle="alice", password_hash="argon2-hash"))
        session.add(Rule(id="r1", subject="user:alice", object="notes.*", action="call", ends_at=1e10 / 3))
        session.add(
            RefreshToken(
                hash="h", family="f", client="c", person="usr_1", resource="", scope="", created_at=0, expires_at=9e9
            )
        )
        session.add(BrowserSession(hash="h", person="usr_1", created_at=0, seen_at=0, expires_at=9e9))
        office.vault.seal(session, "server:notes", "static", CANARY)
    assert office.journal.book.settled()  # a backup has the segments that are in the table
    yield path
    office.close()


def ostiary(*arguments, code=0):
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture
def archive(data, tmp_path):
    file = tmp_path / "backup.tar.gz"
    ostiary("backup", file, "--data", data)
    return file


def test_a_restored_directory_has_what_the_running_one_had(data, archive, tmp_path):
    other = tmp_path / "other"
    ostiary("restore", archive, "--data", other, "--master-key", data / "keys" / "master.key")
    office = open_office(Settings(data=other))
    try:
        with office.database.read() as session:
            assert session.get(Person, "usr_1").password_hash == "argon2-hash"
            assert session.get(Rule, "r1").ends_at == 1e10 / 3
            assert office.vault.open_secret(session, "server:notes", "static") == CANARY
            assert session.get(Epoch, Concern.POLICY).value == 3
    finally:
        office.close()


def test_its_journal_verifies_and_knows_of_the_restore(data, archive, tmp_path):
    other = tmp_path / "other"
    ostiary("restore", archive, "--data", other, "--master-key", data / "keys" / "master.key")
    office = open_office(Settings(data=other), role="gateway")  # settles what was open when the copy was made
    key = office.vault.key("journal")
    office.close()
    with closing(Database(sqlite_url(other))) as database, database.read() as session:
        rows = session.exec(select(Segment)).all()
    assert not verify(other / "journal", key, rows).problems
    text = "".join(file.read_text() for file in (other / "journal").glob("*.jsonl"))
    assert "test.filled" in text
    assert "backup.restored" in text
    assert "backup.made" in "".join(file.read_text() for file in (data / "journal").glob("*.jsonl"))


def test_nobody_stays_signed_in_over_a_restore(data, archive, tmp_path):
    other = tmp_path / "other"
    ostiary("restore", archive, "--data", other, "--master-key", data / "keys" / "master.key")
    office = open_office(Settings(data=other))
    try:
        with office.database.read() as session:
            assert session.exec(select(RefreshToken)).all() == []
            assert session.exec(select(BrowserSession)).all() == []
    finally:
        office.close()


def test_t_84_what_was_ended_since_the_backup_is_not_back_after_a_restore(data, archive, tmp_path):
    """Accounts and delegations are begun anew by whoever they are of; what had ended stays ended."""
    with closing(open_office(Settings(data=data))) as office, office.database.change() as session:
        office.vault.seal(session, "server:notes", "static", CANARY)
        session.add(Server(slug="notes", url="https://notes.example/mcp"))
        session.flush()
        for subject in ("usr_1", "usr_2", ""):
            connect(session, office.vault, "notes", subject, Tokens(access="a", refresh="r"), by="user:x", now=1)
        revoke(session, "notes", "usr_2", "ended", 2)
        common = {"person": "usr_1", "agent": "agt_1", "scope": "mcp", "created_at": 1.0}
        session.add(Delegation(id="dlg_open", expires_at=9e9, **common))
        session.add(Delegation(id="dlg_ended", expires_at=9e9, ended_at=5.0, **common))
    file, other = tmp_path / "second.tar.gz", tmp_path / "restored"
    ostiary("backup", file, "--data", data)

    said = ostiary("restore", file, "--data", other, "--master-key", data / "keys" / "master.key")

    assert "2 accounts at servers, 1 delegations" in said
    with closing(open_office(Settings(data=other))) as office, office.database.read() as session:
        states = {row.subject: row.state for row in listed(session)}
        assert states == {"usr_1": "needs-reconnect", "usr_2": "revoked", "": "needs-reconnect"}
        assert due(session, 9e9, 10) == []
        assert all(row.ended_at is not None for row in session.exec(select(Delegation)))
    records = [json.loads(line) for path in (other / "journal").iterdir() for line in path.read_text().splitlines()]
    restored = [record for record in records if record.get("event") == "backup.restored"]
    assert [(one["connections"], one["delegations"]) for one in restored] == [(2, 1)]


def test_a_move_keeps_accounts_and_delegations_and_warns(data, tmp_path):
    with closing(open_office(Settings(data=data))) as office, office.database.change() as session:
        session.add(Server(slug="notes", url="https://notes.example/mcp"))
        session.flush()
        connect(session, office.vault, "notes", "usr_1", Tokens(access="a", refresh="r"), by="user:x", now=1)
        session.add(Delegation(id="d", person="usr_1", agent="a", scope="mcp", created_at=1.0, expires_at=9e9))
    still = _stopped(data, tmp_path / "still")
    file, other = tmp_path / "move.tar.gz", tmp_path / "moved"
    ostiary("backup", file, "--data", still)
    said = ostiary("restore", file, "--data", other, "--master-key", still / "keys" / "master.key", "--move")
    assert "NEVER START THE OLD GATEWAY AGAIN" in said
    assert "begun anew" not in said
    with closing(open_office(Settings(data=other))) as office, office.database.read() as session:
        assert [row.state for row in listed(session)] == ["connected"]
        assert [row.ended_at for row in session.exec(select(Delegation))] == [None]
        assert session.exec(select(BrowserSession)).all() == []


def _stopped(data, place):
    """The same gateway, which nobody runs: its journal is written by nobody."""
    shutil.copytree(data, place)
    return place


def test_t_84_a_backup_of_a_running_gateway_is_no_move(data, archive, tmp_path):
    other = tmp_path / "other"
    said = ostiary("restore", archive, "--data", other, "--master-key", data / "keys" / "master.key", "--move", code=1)
    assert "was made while the gateway was running" in said
    assert not other.exists()


def test_the_master_key_and_nothing_opened_by_it_is_in_the_file(data, archive):
    key = (data / "keys" / "master.key").read_bytes()
    with tarfile.open(archive) as members:
        content = b"".join(members.extractfile(entry).read() for entry in members)
    for secret in (key.strip(), CANARY):
        assert secret not in content
        assert base64.b64encode(secret) not in content
        assert secret.hex().encode() not in content
    assert archive.stat().st_mode & 0o777 == 0o600


def test_a_directory_in_use_is_not_overwritten(data, archive):
    before = sorted(path.name for path in data.iterdir())
    assert "is not empty" in ostiary("restore", archive, "--data", data, code=1)
    assert sorted(path.name for path in data.iterdir()) == before


def test_a_directory_with_the_key_in_place_is_taken(data, archive, tmp_path):
    other = tmp_path / "other"
    (other / "keys").mkdir(parents=True)
    (other / "keys" / "master.key").write_bytes((data / "keys" / "master.key").read_bytes())
    (other / "keys" / "master.key").chmod(0o600)
    ostiary("restore", archive, "--data", other)
    assert (other / "ostiary.db").exists()


def test_without_the_right_key_nothing_is_made(archive, tmp_path):
    wrong = tmp_path / "wrong.key"
    wrong.write_bytes(base64.b64encode(os.urandom(32)) + b"\n")
    wrong.chmod(0o600)
    other = tmp_path / "other"
    for arguments in ((), ("--master-key", wrong)):
        assert "master" in ostiary("restore", archive, "--data", other, *arguments, code=1)
        assert not other.exists()
        assert not list(tmp_path.glob(".other*"))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_cut_file_is_refused_and_nothing_is_made(archive, data, tmp_path, share):
    cut = tmp_path / "cut.tar.gz"
    cut.write_bytes(archive.read_bytes()[: int(archive.stat().st_size * share)])
    text = ostiary("restore", cut, "--data", tmp_path / "other", "--master-key", data / "keys" / "master.key", code=1)
    assert "not a whole backup" in text
    assert not (tmp_path / "other").exists()


def _rewritten(archive, target, change):
    """The same archive with members changed: (name, bytes) → (name, bytes) or None."""
    with tarfile.open(archive) as old, tarfile.open(target, "w:gz") as new:
        for entry in old:
            content = old.extractfile(entry).read()
            changed = change(entry.name, content)
            if changed is None:
                continue
            entry.name, content = changed
            entry.size = len(content)
            source = target.with_suffix(".member")
            source.write_bytes(content)
            with source.open("rb") as stream:
                new.addfile(entry, stream)


def test_a_row_added_by_somebody_else_is_noticed(archive, data, tmp_path):
    forged = tmp_path / "forged.tar.gz"
    grant = json.dumps({"id": "evil"}).encode() + b"\n"
    _rewritten(archive, forged, lambda name, old: (name, old + grant if name == "rows/rule.jsonl" else old))
    text = ostiary(
        "restore", forged, "--data", tmp_path / "other", "--master-key", data / "keys" / "master.key", code=1
    )
    assert "was changed" in text


def test_a_manifest_that_was_adapted_too_does_not_carry_our_mark(archive, data, tmp_path):
    forged = tmp_path / "forged.tar.gz"

    def change(name, old):
        return (name, old.replace(b'"made_at":', b'"made_at":1')) if name == "manifest.json" else (name, old)

    _rewritten(archive, forged, change)
    text = ostiary(
        "restore", forged, "--data", tmp_path / "other", "--master-key", data / "keys" / "master.key", code=1
    )
    assert "was not made by the gateway" in text
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    "name", ["../escape", "/etc/x", "journal/../x.000001.jsonl", "keys/master.key", "rows/a/b.jsonl"]
)
def test_a_member_that_no_backup_has_is_refused(archive, data, tmp_path, name):
    forged = tmp_path / "forged.tar.gz"
    _rewritten(archive, forged, lambda old, content: (name if old == "rows/rule.jsonl" else old, content))
    text = ostiary(
        "restore", forged, "--data", tmp_path / "other", "--master-key", data / "keys" / "master.key", code=1
    )
    assert "a member that no backup has" in text


def test_an_existing_file_is_not_replaced_unasked(data, archive):
    before = archive.read_bytes()
    assert "exists" in ostiary("backup", archive, "--data", data, code=1)
    assert archive.read_bytes() == before
    made = json.loads(ostiary("backup", archive, "--data", data, "--force", "--json"))
    assert made["rows"] > 5
    assert made["segments"] >= 1


@pytest.mark.parametrize("name", [".", "fifo", "", "no/such/place", "x" * 300])
def test_what_cannot_be_written_to_is_told_and_left_alone(data, tmp_path, monkeypatch, name):
    """A device or a pipe would not be written to but replaced."""
    monkeypatch.chdir(tmp_path)
    os.mkfifo("fifo")
    told = ostiary("backup", name, "--data", data, "--force", code=2 if name == "." else 1)
    assert "Error: " in told
    assert sorted(place.name for place in tmp_path.iterdir()) == ["data", "fifo"]
    assert Path("fifo").is_fifo()


def test_a_directory_that_cannot_be_made_is_told(archive, data):
    told = ostiary("restore", archive, "--master-key", data / "keys" / "master.key", "--data", archive / "x", code=1)
    assert "Error: " in told
    assert "try again" in told


def test_a_secret_of_another_row_is_still_not_to_be_had_after_a_restore(data, archive, tmp_path):
    other = tmp_path / "other"
    ostiary("restore", archive, "--data", other, "--master-key", data / "keys" / "master.key")
    office = open_office(Settings(data=other))
    try:
        with office.database.read() as session:
            assert CANARY not in session.exec(select(Secret)).one().sealed
    finally:
        office.close()


@pytest.mark.servers
def test_the_rows_move_from_sqlite_to_postgresql_and_back(data, archive, tmp_path):
    key = tmp_path / "key"
    key.write_bytes((data / "keys" / "master.key").read_bytes())
    key.chmod(0o600)
    there, back, second = tmp_path / "there", tmp_path / "back", tmp_path / "second.tar.gz"
    with postgresql() as url:
        ostiary("restore", archive, "--data", there, "--database-url", url, "--master-key", key)
        assert not (there / "ostiary.db").exists()
        text = ostiary("restore", archive, "--data", tmp_path / "x", "--database-url", url, "--master-key", key, code=1)
        assert "not empty" in text
        ostiary("backup", second, "--data", there, "--database-url", url)
    ostiary("restore", second, "--data", back, "--master-key", key)
    office = open_office(Settings(data=back))
    try:
        with office.database.read() as session:
            assert session.get(Rule, "r1").ends_at == 1e10 / 3
            assert office.vault.open_secret(session, "server:notes", "static") == CANARY
    finally:
        office.close()
