"""The same registry on PostgreSQL."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

import pytest
from sqlalchemy.exc import SQLAlchemyError

from registry.database import Database, ensure, upsert
from registry.errors import SecretRefused
from registry.leases import give_back, take
from registry.screening import Described
from registry.screening.hidden import visible
from registry.servers import retire
from registry.tables import Auth, Kind, Lease, Secret, ServerState
from tests.registry.shelf import Shelf, resource, tool
from tests.servers.postgres import postgresql

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.servers


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    with postgresql() as url:
        database = Database(url)
        yield Shelf(tmp_path, database)
        database.close()


def odd(name: str) -> Described:
    """As a refresh hands it over: what hides in a name is spelled out, the text stays as it came."""
    return Described(
        Kind.TOOL, visible(name), json.dumps({"name": name, "inputSchema": {"type": "object"}, name: name})
    )


def test_a_servers_life_on_postgresql(shelf: Shelf) -> None:
    shelf.add("notes", "http://127.0.0.1:9/mcp", allow_address=True, auth=Auth.STATIC, secrets={"header": b"X-Key: x"})
    shelf.see("notes", tool("list"), odd("re\x00ad\ud800"), resource("n://" + "x" * 2000))
    shelf.approve("notes")
    assert shelf.tools() == ["notes_list"]
    shelf.see("notes", tool("list", "Other."))
    assert shelf.tools() == []
    assert ("tool", "notes.list") in shelf.catalogue().paused
    with shelf.database.change() as session:
        retire(session, "notes", shelf.vault)
    assert shelf.server("notes").state == ServerState.RETIRED


def test_of_many_who_want_a_lease_one_gets_it(shelf: Shelf) -> None:
    won: list[str] = []

    def want(holder: str) -> None:
        if take(shelf.database, "refresh", holder, 60):
            won.append(holder)

    threads = [threading.Thread(target=want, args=(str(number),)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    give_back(shelf.database, "refresh", won[0])
    assert take(shelf.database, "refresh", "next", 60)


def test_of_many_who_add_the_same_row_at_once_none_fails_and_each_sees_the_one_before(shelf: Shelf) -> None:
    def add() -> None:
        with shelf.database.change() as session:
            row = ensure(session, Lease(name="count", holder="", until=0))
            row.until += 1

    threads = [threading.Thread(target=add) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with shelf.database.read() as session:
        assert session.get_one(Lease, "count").until == 8


def test_of_many_who_store_the_same_row_at_once_none_fails_and_one_stays(shelf: Shelf) -> None:
    """As when two say yes to the same consent, or give the same role: a look first and then an INSERT would fail."""
    failed: list[str] = []
    together = threading.Barrier(8)

    def store(number: int) -> None:
        try:
            with shelf.database.change() as session:
                together.wait(20)
                upsert(session, Lease(name="same", holder=str(number), until=number))
        except SQLAlchemyError as error:
            failed.append(type(error).__name__)

    threads = [threading.Thread(target=store, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    with shelf.database.read() as session:
        stored = session.get_one(Lease, "same")
        assert stored.holder == str(int(stored.until))


def test_a_secret_put_back_is_refused_and_two_who_seal_at_once_both_stand(shelf: Shelf) -> None:
    def seal(number: int) -> None:
        with shelf.database.change() as session:
            shelf.vault.seal(session, f"server:s{number % 4}", "header", b"X-Key: x")

    threads = [threading.Thread(target=seal, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with shelf.database.read() as session:
        assert shelf.vault.problems(session) == []
        old = session.get_one(Secret, ("server:s1", "header")).model_dump()
    seal(1)
    with shelf.database.change() as session:
        session.get_one(Secret, ("server:s1", "header")).sqlmodel_update(old)
    with shelf.database.read() as session, pytest.raises(SecretRefused):
        shelf.vault.open_secret(session, "server:s1", "header")
