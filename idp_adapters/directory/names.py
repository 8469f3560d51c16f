"""Names of entries (RFC 4514), and the ids that stay when a name changes."""

from __future__ import annotations

import re
import uuid
from typing import Final

import ldap
import ldap.dn
import ldap.filter

from idp_adapters.contract import ProviderDown

UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
UUIDS: Final = frozenset({"entryuuid", "objectguid"})
BINARY_IDS: Final = frozenset({"objectguid"})  # bytes on the wire, the first three fields little-endian
MALFORMED: Final = "The directory answers what no directory would. Ask whoever looks after it."

Name = tuple[frozenset[tuple[str, str]], ...]


def parsed(dn: str) -> Name:
    """A name such that equal names are equal: case and runs of spaces do not count (RFC 4518)."""
    try:
        parts = ldap.dn.str2dn(dn)
    except ldap.DECODING_ERROR as error:
        raise ProviderDown("malformed_name", MALFORMED) from error
    return tuple(
        frozenset((kind.lower(), " ".join(value.casefold().split())) for kind, value, _ in part) for part in parts
    )


def is_under(dn: str, base: str) -> bool:
    name, root = parsed(dn), parsed(base)
    return bool(root) and name[-len(root) :] == root


def canonical(dn: str) -> str:
    """As mappings see it: lower case, no spaces around commas."""
    written: str = ldap.dn.dn2str(ldap.dn.str2dn(dn))
    return written.lower()


def common_name(dn: str) -> str:
    """The value of the first part."""
    first: str = ldap.dn.str2dn(dn)[0][0][1]
    return first


def subject(attribute: str, value: bytes) -> str:
    """The stable id as text; ProviderDown where it is none."""
    if attribute.lower() in BINARY_IDS:
        if len(value) != 16:
            raise ProviderDown("malformed_id", MALFORMED)
        return str(uuid.UUID(bytes_le=value))
    text = value.decode("utf-8", "replace")
    if not 0 < len(text) <= 255 or not text.isprintable():
        raise ProviderDown("malformed_id", MALFORMED)
    return text.lower() if UUID.fullmatch(text.lower()) else text


def id_filter(attribute: str, known: str) -> str | None:
    """Finds the entry of a subject; None where the subject cannot be one of this directory's."""
    if attribute.lower() in UUIDS and UUID.fullmatch(known) is None:
        return None
    if attribute.lower() in BINARY_IDS:
        return f"({attribute}={escaped(uuid.UUID(known).bytes_le)})"
    return f"({attribute}={ldap.filter.escape_filter_chars(known)})"


def escaped(value: bytes) -> str:
    """Each byte as a filter writes it (RFC 4515 section 3)."""
    return "".join(f"\\{byte:02x}" for byte in value)


def primary_group(sid: bytes, relative: str) -> bytes:
    """The SID of an account's primary group: the account's own, with another last number (MS-DTYP 2.4.2.2)."""
    if len(sid) < 12 or not relative.isdecimal() or int(relative) >= 2**32:
        raise ProviderDown("malformed_id", MALFORMED)
    return sid[:-4] + int(relative).to_bytes(4, "little")
