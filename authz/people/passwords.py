"""Passwords: argon2id, at most two at once, and the same work for people who do not exist."""

from __future__ import annotations

import secrets
import threading
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from authz.errors import AccountRefused, SignInBusy

if TYPE_CHECKING:
    from collections.abc import Iterator

SHORTEST: Final = 10
LONGEST: Final = 256  # characters; argon2 hashes any length, but nobody needs to send us more

# RFC 9106 section 4 with half the memory of its second recommendation and one lane: what two sign-ins at once may hold
_HASHER = PasswordHasher(time_cost=3, memory_cost=32 * 1024, parallelism=1)
_AT_ONCE = threading.BoundedSemaphore(2)
_WAITING = threading.BoundedSemaphore(10)  # the working two and eight behind them; more would fill the thread pool


def make_password() -> str:
    """96 random bits in groups that a person can copy by hand."""
    return "-".join(secrets.token_hex(2) for _ in range(6))


def hash_password(password: str) -> str:
    with _turn():
        return _HASHER.hash(password)


def matches(stored: str, password: str) -> bool:
    """Whether `password` made the hash; an empty `stored` (nobody there) costs the same and is never right."""
    if len(password) > LONGEST:
        password = ""  # cannot be right, and is not worth hashing at length
    with _turn():
        try:
            return _HASHER.verify(stored or _nobody(), password) and bool(stored)
        except (VerificationError, InvalidHashError):
            return False


def check_strength(password: str, handle: str) -> None:
    """Length and the obvious; NIST SP 800-63B section 3.1.1.2 asks for no composition rules."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise AccountRefused(f"a password has {SHORTEST} to {LONGEST} characters")
    if handle and handle.lower() in password.lower() and len(password) < len(handle) + SHORTEST:
        raise AccountRefused("the password is little more than the name; choose another")
    if len(set(password)) < 4:
        raise AccountRefused("the password repeats a few characters; choose another")


@contextmanager
def _turn() -> Iterator[None]:
    if not _WAITING.acquire(blocking=False):
        raise SignInBusy("many people are signing in at once; try again in a few seconds")
    try:
        with _AT_ONCE:
            yield
    finally:
        _WAITING.release()


@cache
def _nobody() -> str:
    return _HASHER.hash("nobody has this password, and it is not compared")
