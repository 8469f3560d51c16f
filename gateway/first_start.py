"""What a first start makes, and a later one finds: a signing key, and a link for the first admin."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sqlmodel import select

from authz.accounts import admins
from authz.keys import rotate
from authz.sessions import make_link
from authz.tables import SigningKey
from registry.database import Concern

if TYPE_CHECKING:
    from gateway.office import Office


def ensure_signing_key(office: Office) -> None:
    """Tokens can be signed from the first second on."""
    with office.database.read() as session:
        if session.exec(select(SigningKey)).first() is not None:
            return
    with office.change("key.rotated", Concern.KEYS, who="ostiary") as (session, facts):
        facts["kid"] = rotate(session, office.vault, at_once=True)


def first_admin_link(office: Office) -> str | None:
    """A link that makes the first admin, as long as there is none."""
    with office.database.read() as session:
        if admins(session):
            return None
    return admin_link(office, who="ostiary")


def admin_link(office: Office, *, who: str) -> str:
    """A fresh one-time link, fifteen minutes long."""
    with office.change("admin.link", who=who) as (session, _):
        token = make_link(session, "admin", time.time())
    return f"{office.settings.base_url}/setup/{token}"
