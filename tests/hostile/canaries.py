"""Words that must turn up nowhere, and every form in which they might."""

from __future__ import annotations

import base64
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def canary(name: str) -> str:
    """A word that nothing else has in it."""
    return f"canary-{name}-{secrets.token_hex(6)}"


def forms(word: str) -> set[bytes]:
    """Plain, reversed, hex, and Base64 in both alphabets at each of the three places where it can begin."""
    raw = word.encode()
    coded = {base64.b64encode(b"\0" * shift + raw)[-(-shift * 4 // 3) : -4] for shift in range(3)}
    coded = {one[1:] for one in coded}  # the first character may belong to what stands before
    both = coded | {one.translate(bytes.maketrans(b"+/", b"-_")) for one in coded}
    return {raw, raw[::-1], raw.hex().encode(), raw.hex().upper().encode(), *both}


def found(words: dict[str, str], content: bytes) -> list[str]:
    """The names of those that are in there, in any form."""
    return sorted(name for name, word in words.items() if any(form in content for form in forms(word)))


def everything_in(directory: Path, *, but: tuple[str, ...] = ()) -> bytes:
    """All bytes of all files, without some directories."""
    files = [path for path in sorted(directory.rglob("*")) if path.is_file() and path.parent.name not in but]
    return b"\n".join(path.read_bytes() for path in files)
