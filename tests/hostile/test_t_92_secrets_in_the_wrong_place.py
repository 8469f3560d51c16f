"""Sealed secrets that somebody with the database moved, rolled back or changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from registry.errors import SecretRefused
from registry.servers import load_credentials
from registry.tables import Auth, Secret
from tests.registry.shelf import Shelf

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LINES = {"notes": b"Authorization: Bearer one", "clock": b"X-Api-Key: two"}


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    opened = Shelf(tmp_path)
    for slug, line in LINES.items():
        opened.add(slug, auth=Auth.STATIC, header=line)
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
    with pytest.raises(SecretRefused, match="not here"):
        opens(shelf, "notes")


def test_t_92_a_credential_that_does_not_open_is_left_out_and_the_others_stay(shelf: Shelf) -> None:
    write(shelf, "notes", key_id="2")
    with shelf.database.read() as session:
        assert set(load_credentials(session, shelf.vault)) == {"clock"}
