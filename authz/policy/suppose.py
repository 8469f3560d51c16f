"""Asking "what if": somebody as policy would know them, without a credential that proves it."""

from __future__ import annotations

from dataclasses import dataclass

from authz.assurance import UNSURE, Assured


@dataclass(frozen=True, slots=True, kw_only=True)
class Supposed:
    """A `Party` for questions only; calls are made by a `Principal`, which this is not."""

    label: str
    subjects: frozenset[str]
    client: str = ""
    scopes: frozenset[str] = frozenset({"mcp"})
    actor: Supposed | None = None
    assured: Assured = UNSURE
