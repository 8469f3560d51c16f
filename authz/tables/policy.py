"""Rules and roles as Casbin is asked about them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, Column
from sqlmodel import Field, SQLModel


class Rule(SQLModel, table=True):
    """Casbin's `p`. `object` is `server.name` or `server.*`; `condition` is typed data, never an expression."""

    __tablename__ = "rule"
    id: str = Field(primary_key=True)
    subject: str
    portal: str = "*"
    object: str
    action: str
    effect: str = "allow"
    condition: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON))
    obligations: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    note: str = ""
    created_by: str = ""
    created_at: float = 0
    ends_at: float | None = None


class RoleBinding(SQLModel, table=True):
    """Casbin's `g`: `subject` (user:, group: or agent:) has `role` in `portal` (or `*`)."""

    __tablename__ = "role_binding"
    subject: str = Field(primary_key=True)
    role: str = Field(primary_key=True)
    portal: str = Field(primary_key=True, default="*")
