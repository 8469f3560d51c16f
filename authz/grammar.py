"""The legal forms of what stands in a rule. Names are compared for equality, never matched as patterns (T-41)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from authz.errors import AccountRefused

SLUG = r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?"
ANYTHING = "*"
CLIENT = "client:"  # a client may only restrict: rules about one can deny, never allow

# A tool's or prompt's name (protocol revision 2026-07-28, tools: [A-Za-z0-9_.-] and at most 128 characters) …
_NAME = r"[A-Za-z0-9_.-]{1,128}"
# … or a resource's URI or template (RFC 3986, RFC 6570), as the server writes it.
_URI = r"[A-Za-z][A-Za-z0-9+.-]{0,31}:[^\x00-\x20\x7f-\xa0\s]{0,2000}"

_OBJECT = re.compile(rf"({SLUG})\.(?:{_NAME}|{_URI})")
# What looks like a piece of a program has no place in a rule (T-42); such a resource is reached by `server.*`.
_PROGRAM = re.compile(r"""[()'"`\\]|(?:^|\.)__\w+__(?:$|\.)""")
_OBJECTS = re.compile(rf"({SLUG})\.\*")
_PORTAL = re.compile(rf"\*|{SLUG}|server:{SLUG}")
HANDLE = r"[a-z0-9][a-z0-9._@+-]{0,127}"  # of people, groups, agents and roles: one spelling each
_SUBJECT = re.compile(rf"(?:user|group|agent|role):{HANDLE}")
_BINDABLE = re.compile(rf"(?:user|group|agent):{HANDLE}")
_HANDLE = re.compile(HANDLE)
_CLIENT = re.compile(r"client:[\x21-\x7e]{1,2048}")


class Place(NamedTuple):
    """An object as policy sees it: its own name and the name of everything on its server."""

    object: str
    all: str


@lru_cache(maxsize=32768)
def place(name: str) -> Place | None:
    """The place of a canonical object `server.name`; None when it is not one (and so nothing can be allowed)."""
    found = _OBJECT.fullmatch(name)
    if found is None:
        return None
    return Place(name, f"{found[1]}.{ANYTHING}")


def is_object(text: str) -> bool:
    """Whether a rule may say it: one object, or everything on one server."""
    return _OBJECTS.fullmatch(text) is not None or (place(text) is not None and _PROGRAM.search(text) is None)


def is_portal(text: str) -> bool:
    return _PORTAL.fullmatch(text) is not None


def is_subject(text: str) -> bool:
    return _SUBJECT.fullmatch(text) is not None


def is_client(text: str) -> bool:
    return _CLIENT.fullmatch(text) is not None


def is_bindable(text: str) -> bool:
    """Whether a role can be given to it: roles are not given to roles, nor to clients."""
    return _BINDABLE.fullmatch(text) is not None


def is_role(text: str) -> bool:
    return _HANDLE.fullmatch(text) is not None


def check_handle(handle: str) -> str:
    """What policy and records will call somebody; one spelling each, so that a rule cannot mean two people."""
    if _HANDLE.fullmatch(handle) is None:
        raise AccountRefused(
            f"{handle[:140]!r} is not a name we can use: 1 to 128 of a-z 0-9 . _ @ + -, "
            "beginning with a letter or digit"
        )
    return handle
