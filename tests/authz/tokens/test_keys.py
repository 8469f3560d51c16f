"""Signing keys: published before they sign, verifying after they stopped, then gone; sealed all along."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from sqlmodel import select

from authz.errors import NoSigningKey, TokenRefused
from authz.tables import SigningKey
from authz.tokens.access import TokenVerifier
from authz.tokens.keys import AFTERLIFE, OVERLAP, PERIOD, KeySet, load_keys, rotate, rotation_due
from registry.database import Database, sqlite_url
from registry.errors import SecretRefused
from registry.schema import migrate
from registry.secrets.vault import Vault
from tests.fakes.tokens import ISSUER, RESOURCE, Judge, good

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(sqlite_url(tmp_path))
    migrate(opened)
    yield opened
    opened.close()


@pytest.fixture
def vault(tmp_path: Path, database: Database) -> Vault:
    return Vault.open(tmp_path, database, None)


def turn(database: Database, vault: Vault, now: float, *, at_once: bool = False) -> str:
    with database.change() as session:
        return rotate(session, vault, now=now, at_once=at_once)


def keys(database: Database, vault: Vault) -> KeySet:
    with database.read() as session:
        return load_keys(session, vault)


def test_the_first_key_signs_at_once(database: Database, vault: Vault) -> None:
    kid = turn(database, vault, 1000.0)

    assert keys(database, vault).signer(1000.0).kid == kid


def test_without_a_key_nothing_is_signed() -> None:
    with pytest.raises(NoSigningKey, match="rotate-keys"):
        KeySet({}).signer(time.time())


def test_a_new_key_is_published_before_it_signs(database: Database, vault: Vault) -> None:
    old = turn(database, vault, 0.0)
    new = turn(database, vault, 1000.0)
    held = keys(database, vault)

    assert held.signer(1000.0).kid == old
    assert {key["kid"] for key in held.published(1000.0)["keys"]} == {old, new}
    assert held.signer(1000.0 + OVERLAP).kid == new


def test_there_is_a_signer_at_every_moment_of_many_rotations(database: Database, vault: Vault) -> None:
    for number in range(5):
        turn(database, vault, number * 100.0)
    held = keys(database, vault)

    for moment in range(0, 2000, 10):
        assert held.signer(float(moment))


def test_what_a_retired_key_signed_is_good_for_a_token_life_and_no_longer(database: Database, vault: Vault) -> None:
    old = turn(database, vault, 0.0)
    turn(database, vault, 1000.0)
    held, retired = keys(database, vault), 1000.0 + OVERLAP

    assert held.verifying(old, retired + AFTERLIFE - 1)
    assert held.verifying(old, retired + AFTERLIFE) is None
    assert old not in {key["kid"] for key in held.published(retired + AFTERLIFE)["keys"]}


def test_no_token_is_refused_while_keys_turn(database: Database, vault: Vault) -> None:
    turn(database, vault, 0.0)
    turn(database, vault, 1000.0)
    judge, verifier = Judge(keys=keys(database, vault)), TokenVerifier(ISSUER)

    for issued in range(1000, 3000, 50):
        token = good(judge, now=float(issued))
        for later in (0, 150, 299):
            verifier.verify(token, RESOURCE, judge, issued + later)


def test_a_key_that_may_be_known_to_others_is_gone_at_once(database: Database, vault: Vault) -> None:
    turn(database, vault, 0.0)
    before = Judge(keys=keys(database, vault))
    token = good(before)
    turn(database, vault, time.time(), at_once=True)

    with pytest.raises(TokenRefused):
        TokenVerifier(ISSUER).verify(token, RESOURCE, before.turned(keys=keys(database, vault)))


def test_keys_that_are_gone_are_deleted_by_the_next_rotation(database: Database, vault: Vault) -> None:
    first = turn(database, vault, 0.0)
    turn(database, vault, 1000.0)
    turn(database, vault, 1000.0 + OVERLAP + AFTERLIFE)

    assert first not in keys(database, vault).keys


def test_rotation_is_due_when_there_is_no_key_and_after_its_period(database: Database, vault: Vault) -> None:
    with database.read() as session:
        assert rotation_due(session, 5000.0)
    turn(database, vault, 5000.0)
    with database.read() as session:
        assert not rotation_due(session, 5000.0 + PERIOD - 1)
        assert rotation_due(session, 5000.0 + PERIOD)


def test_the_private_half_is_sealed_and_opens_under_its_own_name_only(database: Database, vault: Vault) -> None:
    turn(database, vault, 0.0)
    turn(database, vault, 1.0)
    der = {key.private.as_der(private=True) for key in keys(database, vault).keys.values()}
    with database.change() as session:
        one, other = session.exec(select(SigningKey)).all()
        assert not any(secret in row.sealed for secret in der for row in (one, other))
        one.sealed, other.sealed = other.sealed, one.sealed

    with pytest.raises(SecretRefused):
        keys(database, vault)


def test_a_key_shows_no_secret_when_it_is_printed(database: Database, vault: Vault) -> None:
    turn(database, vault, 0.0)
    held = keys(database, vault)

    private = next(iter(held.keys.values())).private.as_dict(private=True)["d"]
    assert str(private) not in repr(held)
