"""Public keys from a file: a JWK set (RFC 7517 section 5)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from authz.jose import PRIVATE_MEMBERS

if TYPE_CHECKING:
    from pathlib import Path


def read_jwks(path: Path) -> dict[str, Any]:
    """The set; one that holds a private key is refused, because it should never have come here."""
    try:
        found = json.loads(path.read_bytes())
    except OSError as error:
        raise click.ClickException(f"{path} cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise click.ClickException(f"{path} is not JSON") from error
    keys = found.get("keys") if isinstance(found, dict) else None
    if not isinstance(keys, list) or not keys or not all(isinstance(key, dict) for key in keys):
        raise click.ClickException(f'{path} is not a JWK set: {{"keys": [...]}} with at least one key')
    if any(PRIVATE_MEMBERS & key.keys() for key in keys):
        raise click.ClickException(f"{path} holds a private key: export the public half, and keep this one to yourself")
    return {"keys": keys}
