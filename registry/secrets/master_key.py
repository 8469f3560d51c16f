"""The master key: a file of mode 0600 that is made once, or 32 bytes in base64 from somewhere else."""

from __future__ import annotations

import base64
import binascii
import os
from typing import TYPE_CHECKING

from registry.errors import SecretRefused

if TYPE_CHECKING:
    from pathlib import Path

KEY_BYTES = 32


def decode(text: bytes | str) -> bytes:
    """The key in base64, as files and the environment have it. Raises SecretRefused."""
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise SecretRefused("must be 32 random bytes in base64 (`openssl rand -base64 32`)")
    return key


def read(data: Path, *, fresh: bool) -> bytes:
    """The key of a data directory; made when it is `fresh`, that is, when nothing is sealed yet."""
    path = data / "keys" / "master.key"
    if not path.exists():
        if not fresh:
            raise SecretRefused(
                f"{path} is missing but the database is sealed under it: restore it, or set OSTIARY_MASTER_KEY"
            )
        _make(path)
    if path.stat().st_mode & 0o077:
        raise SecretRefused(f"{path} can be read by others: chmod 600 it")
    try:
        return decode(path.read_bytes().strip())
    except SecretRefused as refused:
        raise SecretRefused(f"the master key in {path} {refused}") from refused


def _make(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(base64.b64encode(os.urandom(KEY_BYTES)) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)  # unlike a rename, a link never replaces the key that another process made meanwhile
    except FileExistsError:
        pass
    finally:
        draft.unlink()
