"""Sealed secrets that somebody with the database moved, rolled back or changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlmodel import update

from registry.credentials.authenticating import load_credentials
from registry.errors import SecretRefused
from registry.secrets.vault import Vault
from registry.tables import Auth, Secret, VaultPage
from tests.registry.shelf import Shelf

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LINES = {"notes": b"Authorization: Bearer one", "clock": b"X-Api-Key: two"}


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    opened = Shelf(tmp_path)
    for slug, line in LINES.items():
        opened.add(slug, auth=Auth.STATIC, secrets={"header": line})
    yield opened
    opened.database.close()


def rows(shelf: Shelf) -> dict[str, Secret]:
    with shelf.database.read() as session:
        return {slug: session.get_one(Secret, (f"server:{slug}", "header")) for slug in LINES}


def write(shelf: Shelf, slug: str, **columns: object) -> None:
    with shelf.database.change() as session:
        row = session.get_one(Secret, (f"server:{slug}", "header"))
        for name, value in columns.items():
            setattr(row, name, value)
        session.add(row)


def opens(shelf: Shelf, slug: str) -> bytes:
    with shelf.database.read() as session:
        return shelf.vault.open_secret(session, f"server:{slug}", "header")


def test_t_92_they_open_where_they_belong(shelf: Shelf) -> None:
    assert {slug: opens(shelf, slug) for slug in LINES} == LINES


def test_t_92_two_that_were_swapped_open_nowhere(shelf: Shelf) -> None:
    before = rows(shelf)
    write(shelf, "notes", sealed=before["clock"].sealed)
    write(shelf, "clock", sealed=before["notes"].sealed)
    for slug in LINES:
        with pytest.raises(SecretRefused):
            opens(shelf, slug)


def test_t_92_an_older_value_under_the_newer_version_does_not_open(shelf: Shelf) -> None:
    old = rows(shelf)["notes"].sealed
    with shelf.database.change() as session:
        shelf.vault.seal(session, "server:notes", "header", b"Authorization: Bearer new")
    assert opens(shelf, "notes") == b"Authorization: Bearer new"
    write(shelf, "notes", sealed=old)
    with pytest.raises(SecretRefused):
        opens(shelf, "notes")


@pytest.mark.parametrize("at", [0, 11, 12, 20, -1])
def test_t_92_one_flipped_bit_is_noticed(shelf: Shelf, at: int) -> None:
    sealed = bytearray(rows(shelf)["notes"].sealed)
    sealed[at] ^= 1
    write(shelf, "notes", sealed=bytes(sealed))
    with pytest.raises(SecretRefused):
        opens(shelf, "notes")


def test_t_92_an_unknown_key_id_is_refused(shelf: Shelf) -> None:
    write(shelf, "notes", key_id="2")
    with pytest.raises(SecretRefused, match="not the one"):
        opens(shelf, "notes")


def test_t_92_a_credential_that_does_not_open_is_left_out_and_the_others_stay(shelf: Shelf) -> None:
    write(shelf, "notes", key_id="2")
    with shelf.database.read() as session:
        assert set(load_credentials(session, shelf.vault)) == {"clock"}


def put_back(shelf: Shelf, table: type[Secret | VaultPage], key: object, **columns: object) -> None:
    with shelf.database.change() as session:
        session.execute(update(table).where(*_is(table, key)).values(**columns))


def _is(table: type[Secret | VaultPage], key: object) -> list[Any]:
    return [Secret.owner == key] if table is Secret else [VaultPage.kind == key]


def columns(row: Secret) -> dict[str, object]:
    return row.model_dump(exclude={"owner", "purpose"})


def renew(shelf: Shelf, slug: str, line: bytes) -> None:
    with shelf.database.change() as session:
        shelf.vault.seal(session, f"server:{slug}", "header", line)


def problems(shelf: Shelf) -> list[str]:
    with shelf.database.read() as session:
        return shelf.vault.problems(session)


def test_t_92_a_whole_row_that_was_put_back_does_not_open_and_is_named(shelf: Shelf) -> None:
    old = columns(rows(shelf)["notes"])
    renew(shelf, "notes", b"Authorization: Bearer new")
    assert problems(shelf) == []
    put_back(shelf, Secret, "server:notes", **old)
    with pytest.raises(SecretRefused, match="older one was put back"):
        opens(shelf, "notes")
    assert opens(shelf, "clock") == LINES["clock"]
    (told,) = problems(shelf)
    assert "server:notes" in told
    assert "Bearer" not in told


def test_t_92_setting_it_anew_mends_what_was_put_back(shelf: Shelf) -> None:
    old = columns(rows(shelf)["notes"])
    renew(shelf, "notes", b"Authorization: Bearer new")
    put_back(shelf, Secret, "server:notes", **old)
    renew(shelf, "notes", b"Authorization: Bearer newest")
    assert opens(shelf, "notes") == b"Authorization: Bearer newest"
    assert problems(shelf) == []


def test_t_92_a_page_that_was_put_back_opens_nothing_that_is_newer(shelf: Shelf) -> None:
    with shelf.database.read() as session:
        old = session.get_one(VaultPage, "server").sealed
    renew(shelf, "notes", b"Authorization: Bearer new")
    put_back(shelf, VaultPage, "server", sealed=old)
    with pytest.raises(SecretRefused):
        opens(shelf, "notes")


@pytest.mark.parametrize("page", [b"", b"x" * 60])
def test_t_92_without_its_page_no_secret_opens(shelf: Shelf, page: bytes) -> None:
    put_back(shelf, VaultPage, "server", sealed=page)
    for slug in LINES:
        with pytest.raises(SecretRefused):
            opens(shelf, slug)
    renew(shelf, "notes", b"Authorization: Bearer new")
    assert opens(shelf, "notes") == b"Authorization: Bearer new"
    with pytest.raises(SecretRefused):
        opens(shelf, "clock")


def test_t_92_a_page_that_was_removed_is_not_made_anew_from_what_is_there(shelf: Shelf) -> None:
    with shelf.database.change() as session:
        session.delete(session.get_one(VaultPage, "server"))
    shelf.vault = Vault.open(shelf.data, shelf.database, None)
    for slug in LINES:
        with pytest.raises(SecretRefused):
            opens(shelf, slug)
    assert len(problems(shelf)) == 2


def test_t_92_a_secret_that_was_taken_away_is_named(shelf: Shelf) -> None:
    with shelf.database.change() as session:
        session.delete(session.get_one(Secret, ("server:clock", "header")))
    (told,) = problems(shelf)
    assert "server:clock (header) was taken out" in told


def test_t_92_what_was_forgotten_cannot_be_put_back(shelf: Shelf) -> None:
    old = rows(shelf)["notes"].model_dump()
    with shelf.database.change() as session:
        shelf.vault.forget(session, "server:notes")
    assert problems(shelf) == []
    with shelf.database.change() as session:
        session.add(Secret(**old))
    with pytest.raises(SecretRefused):
        opens(shelf, "notes")
