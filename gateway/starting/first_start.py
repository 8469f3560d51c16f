"""What a first start makes, and a later one finds: a signing key, and a link for the first admin."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from authz.people.accounts import admins, find_person
from authz.people.sessions import ADMIN_LINK, make_link
from authz.tokens.keys import rotate, rotation_due
from gateway.journal import GATEWAY
from registry.database import Concern

if TYPE_CHECKING:
    from gateway.office import Office


def ensure_signing_key(office: Office, now: float | None = None) -> None:
    """Tokens can be signed from the first second on, and no key signs beyond its time.

    Two processes may both find it due: then there are two keys, and everything that either signs is good.
    """
    with office.database.read() as session:
        if not rotation_due(session, now):
            return
    with office.change("key.rotated", Concern.KEYS, who=GATEWAY) as (session, facts):
        facts["kid"] = rotate(session, office.vault, now=now)


def first_admin_link(office: Office) -> str | None:
    """A link that makes the first admin, as long as there is none."""
    with office.database.read() as session:
        if admins(session):
            return None
    return office.settings.base_url + admin_link(office, who=GATEWAY)


def admin_link(office: Office, *, who: str, handle: str = "") -> str:
    """The path of a link that works once, for 15 minutes: it makes an admin, or sets a new password for `handle`."""
    with office.change("admin.link", who=who, person=f"user:{handle}" if handle else "") as (session, _):
        person = find_person(session, handle).id if handle else ""
        token = make_link(session, ADMIN_LINK, time.time(), person=person)
    return f"/setup/{token}"
