"""Sealed secrets."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registry.errors import SecretRefused
from registry.secrets import master_key
from registry.secrets.vault import Vault
from registry.tables import Secret

if TYPE_CHECKING:
    from tests.registry.shelf import Shelf


def seal(shelf: Shelf, owner: str, value: bytes) -> None:
    with shelf.database.change() as session:
        shelf.vault.seal(session, owner, "header", value)


def opened(shelf: Shelf, owner: str, vault: Vault | None = None) -> bytes:
    with shelf.database.read() as session:
        return (vault or shelf.vault).open_secret(session, owner, "header")


def test_what_is_sealed_opens_again_after_a_restart(shelf: Shelf) -> None:
    seal(shelf, "server:notes", b"Authorization: Bearer x")
    again = Vault.open(shelf.data, shelf.database, None)
    assert opened(shelf, "server:notes", again) == b"Authorization: Bearer x"


def test_the_master_key_is_made_once_and_for_its_owner_only(shelf: Shelf) -> None:
    key = shelf.data / "keys" / "master.key"
    assert key.stat().st_mode & 0o777 == 0o600
    before = key.read_bytes()
    Vault.open(shelf.data, shelf.database, None)
    assert key.read_bytes() == before
    assert [one.name for one in key.parent.iterdir()] == ["master.key"]


def test_a_lost_master_key_is_not_replaced_by_a_new_one(shelf: Shelf) -> None:
    (shelf.data / "keys" / "master.key").unlink()
    with pytest.raises(SecretRefused, match="is missing"):
        Vault.open(shelf.data, shelf.database, None)


def test_a_master_key_that_others_can_read_is_refused(shelf: Shelf) -> None:
    (shelf.data / "keys" / "master.key").chmod(0o644)
    with pytest.raises(SecretRefused, match="chmod 600"):
        Vault.open(shelf.data, shelf.database, None)


def test_another_master_key_opens_nothing(shelf: Shelf) -> None:
    with pytest.raises(SecretRefused, match="right master key"):
        Vault.open(shelf.data, shelf.database, os.urandom(32))


def test_the_key_may_come_from_elsewhere(shelf: Shelf) -> None:
    text = (shelf.data / "keys" / "master.key").read_text().strip()
    assert Vault.open(shelf.data, shelf.database, master_key.decode(text)).key("x") == shelf.vault.key("x")


@pytest.mark.parametrize("text", ["", "c2hvcnQ=", "x" * 32, "not base64!", "ö" * 44])
def test_a_key_is_32_bytes_in_base64_and_nothing_else(text: str) -> None:
    with pytest.raises(SecretRefused, match="32 random bytes"):
        master_key.decode(text)


def test_each_purpose_has_a_key_of_its_own(shelf: Shelf) -> None:
    keys = {shelf.vault.key(purpose) for purpose in ("session", "cursor", "csrf", "journal")}
    assert len(keys) == 4
    assert {len(key) for key in keys} == {32}


def test_a_repr_shows_no_key(shelf: Shelf) -> None:
    assert repr(shelf.vault) == "Vault(keys=['1'])"


def test_what_is_forgotten_is_gone(shelf: Shelf) -> None:
    seal(shelf, "server:notes", b"x")
    with shelf.database.change() as session:
        shelf.vault.forget(session, "server:notes")
    with pytest.raises(SecretRefused, match="no secret"):
        opened(shelf, "server:notes")


def test_the_database_holds_no_plain_secret(shelf: Shelf) -> None:
    seal(shelf, "server:notes", b"canary-4711")
    with shelf.database.read() as session:
        assert b"canary" not in session.get_one(Secret, ("server:notes", "header")).sealed


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=60)
@given(value=st.binary(max_size=200), context=st.binary(max_size=20), other=st.binary(max_size=20), flip=st.integers(0))
def test_a_wrapped_value_opens_in_its_context_alone(
    shelf: Shelf, value: bytes, context: bytes, other: bytes, flip: int
) -> None:
    sealed = shelf.vault.wrap(context, value)
    assert shelf.vault.unwrap(context, sealed) == value
    if other != context:
        with pytest.raises(SecretRefused):
            shelf.vault.unwrap(other, sealed)
    bad = bytearray(sealed)
    bad[flip % len(bad)] ^= 1 << (flip % 8)
    with pytest.raises(SecretRefused):
        shelf.vault.unwrap(context, bytes(bad))


@pytest.mark.parametrize("junk", [b"", b"x", b"x" * 11, b"x" * 27])
def test_junk_is_refused_and_nothing_worse(shelf: Shelf, junk: bytes) -> None:
    with pytest.raises(SecretRefused):
        shelf.vault.unwrap(b"", junk)
