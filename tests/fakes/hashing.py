"""Passwords hashed at next to no cost: hundreds of tests sign somebody in, and few are about what that costs."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from argon2 import PasswordHasher

from authz.people import passwords

if TYPE_CHECKING:
    from collections.abc import Iterator

_QUICK: Final = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
_REAL: Final = passwords._HASHER


def quicken() -> None:
    """In this process; what it starts hashes as it is."""
    _hash_with(_QUICK)


@contextmanager
def as_it_is() -> Iterator[None]:
    """For tests that measure it."""
    _hash_with(_REAL)
    yield
    _hash_with(_QUICK)


def _hash_with(hasher: PasswordHasher) -> None:
    passwords._HASHER = hasher
    passwords._nobody.cache_clear()
