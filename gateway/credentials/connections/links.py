"""Links to the page where a person connects an account: what a call leads there with.

A link is no right: whoever follows it signs in, and the page goes on only with the very person whose call it was. What
it says about them is sealed, so that it tells nobody anything (MCP, Elicitation, "URL mode": no credentials, nothing
personal, nothing that is signed in already).
"""

from __future__ import annotations

import base64
import binascii
import time
from typing import TYPE_CHECKING, Final

import msgspec

from registry.errors import SecretRefused

if TYPE_CHECKING:
    from registry.secrets.vault import Vault

LIFE: Final = 1800  # seconds: a model may take a while to show the link, a person to follow it
_CONTEXT: Final = b"connect-link\x00"
_LONGEST: Final = 2048

_encode: Final = msgspec.msgpack.Encoder().encode


class LinkRefused(Exception):
    """It is none of ours, was changed, is for another server, or is too old."""


class Ticket(msgspec.Struct, frozen=True, array_like=True):
    """Whose call led to the page, through what software (its client id), of what (`server.tool`), and the scopes that
    the server wants. `sign_in` is the identity provider to sign in with again, where nothing is to be connected.
    """

    subject: str
    client: str = ""
    object: str = ""
    scopes: tuple[str, ...] = ()
    sign_in: str = ""
    expires: int = 0


NOBODY: Final = Ticket("")
_decode: Final = msgspec.msgpack.Decoder(Ticket).decode


def connect_url(base: str, slug: str) -> str:
    """The page of one server."""
    return f"{base}/connect/{slug}"


def link(vault: Vault, base: str, slug: str, ticket: Ticket) -> str:
    """The same page for the person whose call it was."""
    sealed = msgspec.structs.replace(ticket, expires=int(time.time()) + LIFE)
    text = base64.urlsafe_b64encode(vault.wrap(_context(slug), _encode(sealed))).rstrip(b"=").decode()
    return f"{connect_url(base, slug)}?ticket={text}"


def read_ticket(vault: Vault, slug: str, text: str) -> Ticket:
    """What a link to the page of `slug` was made for. Raises LinkRefused."""
    if len(text) > _LONGEST:
        raise LinkRefused
    try:
        sealed = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
        ticket = _decode(vault.unwrap(_context(slug), sealed))
    except (binascii.Error, ValueError, SecretRefused, msgspec.DecodeError) as error:
        raise LinkRefused from error
    if ticket.expires < time.time():
        raise LinkRefused
    return ticket


def _context(slug: str) -> bytes:
    return _CONTEXT + slug.encode()
