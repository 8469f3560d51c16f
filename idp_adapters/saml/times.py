"""Instants as SAML writes them (SAML core section 1.3.3): always UTC, always with the Z."""

from __future__ import annotations

import datetime as dt
import re

from idp_adapters.saml.shape import unreadable

_FORM = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z")


def instant(said: str) -> float:
    """Seconds since the epoch. Raises IdentityRefused."""
    if not _FORM.fullmatch(said):
        raise unreadable("time")
    try:
        return dt.datetime.fromisoformat(said).timestamp()
    except ValueError as error:
        raise unreadable("time") from error


def written(when: float) -> str:
    return dt.datetime.fromtimestamp(when, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
