"""T-91: whoever has the database, its backup, the journal and the log has no token that anybody connected."""

from __future__ import annotations

import json
import logging
import sqlite3
from typing import TYPE_CHECKING

import pytest

from gateway.credentials import ConnectionNeeded, CredentialUnavailable
from gateway.credentials.connections.deeds import end, give
from gateway.credentials.connections.tending import Tending
from gateway.credentials.holding import Credentials
from gateway.credentials.kept import Kept
from gateway.notices import webhook
from gateway.operating.backup.making import make
from registry.leases import give_back
from registry.tables import Auth, Lease
from tests.fakes.providers.openid import Heard, Reply
from tests.fakes.servers.upstream_oauth import Upstream, serving
from tests.gateway.credentials.oauth.settled import Settled, settled
from tests.hostile.canaries import canary, everything_in, found

if TYPE_CHECKING:
    from pathlib import Path


class Noting(Upstream):
    """Gives tokens that can be found again, and keeps a list."""

    def __init__(self) -> None:
        super().__init__()
        self.words: dict[str, str] = {}

    def give(self, heard: Heard) -> Reply:
        """Also what it was sent is secret."""
        number = len(self.words)
        for name in ("refresh_token", "code", "code_verifier", "client_secret"):
            if name in heard.form:
                self.words[f"{number} {name} as sent"] = heard.form[name]
        said = super().give(heard)
        if said.status != 200:
            return said
        access = canary("access")
        self.accounts[access] = self.accounts.pop(said.body["access_token"])
        self.words |= {f"{number} access": access}
        if "refresh_token" in said.body:
            self.words[f"{number} refresh"] = said.body["refresh_token"]
        return Reply(200, said.body | {"access_token": access})


def look(office: Settled) -> None:
    with office.office.database.read() as session:
        lease = session.get(Lease, "connections")
    if lease is not None:
        give_back(office.office.database, "connections", lease.holder)
    tending = Tending(office.equipment)
    tending.look()
    tending._threads.shutdown(wait=True)


def live(office: Settled, fake: Noting) -> None:
    """All that may happen to connections: connected, renewed, put off, refused, ended, and every error on the way."""
    notes = office.server(fake.url)
    keyed = office.server(fake.url, "keyed", Auth.STATIC, per="person", header="X-Key", scheme="Token")
    fake.words["a value that was given"] = canary("given")
    give(office.equipment, keyed, "usr_alice", fake.words["a value that was given"].encode(), who="user:alice")
    for person in ("usr_alice", "usr_bob"):
        office.connect(fake, notes, person)
    source = Kept(office.equipment)
    held = source.obtain(office.asked(notes))
    logging.getLogger("ostiary").warning("as a careless line would show it: %r %r", held, office.tokens())
    office.later(3100)
    look(office)
    fake.replies["/token"] = lambda _: Reply(503, b"")
    office.later(7200)
    with pytest.raises(CredentialUnavailable):
        source.obtain(office.asked(notes))
    del fake.replies["/token"]
    fake.revoke("usr_bob")
    office.later(1000)
    with pytest.raises(ConnectionNeeded):
        source.obtain(office.asked(notes, "usr_bob"))
    end(office.equipment, "notes", "usr_alice", who="user:alice")
    look(office)
    office.connect(fake, notes)


def test_t_91_no_token_of_a_connection_is_in_a_stolen_dump(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    fake = Noting()
    with serving(fake), settled(tmp_path / "data", fake.origin, webhook_url=f"{fake.origin}/hook") as office:
        live(office, fake)
        fake.words["the webhook's key"] = webhook.shown(webhook.key(office.office)).removeprefix("whsec_")
        make(office.office, tmp_path / "backup")
        with sqlite3.connect(tmp_path / "data" / "ostiary.db") as database:
            (tmp_path / "data" / "dump.sql").write_text("\n".join(database.iterdump()))
        database.close()
    assert len(fake.words) >= 12
    everything = everything_in(tmp_path / "data", but=("keys",)) + caplog.text.encode()
    assert b"connection.failed" in everything
    assert found(fake.words, everything) == []
    import gzip

    assert found(fake.words, gzip.decompress((tmp_path / "backup").read_bytes())) == []


def test_t_91_what_the_webhook_is_told_holds_no_token(tmp_path: Path) -> None:
    fake = Noting()
    with serving(fake), settled(tmp_path, fake.origin, webhook_url=f"{fake.origin}/hook") as office:
        live(office, fake)
        told = [heard for heard in fake.heard if heard.path == "/hook"]
        assert [json.loads(heard.body)["type"] for heard in told] == ["connection.failed"]
        assert found(fake.words, b"".join(heard.body + str(heard.headers).encode() for heard in told)) == []


def test_t_91_no_value_is_in_what_a_process_shows_of_itself(tmp_path: Path) -> None:
    fake = Noting()
    with serving(fake), settled(tmp_path, fake.origin) as office:
        notes = office.server(fake.url)
        office.connect(fake, notes)
        credentials = Credentials(office.office)
        asked = office.asked(notes)
        credential = credentials.obtain_now(asked)
        shown = repr([credentials, asked, credential, office.tokens(), office.connection(), credentials._shelf])
        credentials.close()
        assert found(fake.words, shown.encode()) == []
