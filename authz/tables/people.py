"""Who there is, and which groups they are in. Times are seconds since the epoch."""

from __future__ import annotations

from sqlalchemy import UniqueConstraint
from sqlmodel import Field, SQLModel


class Person(SQLModel, table=True):
    """Somebody who can sign in. `label` is how policy and records name them."""

    __tablename__ = "person"
    id: str = Field(primary_key=True)  # "usr_" and 128 random bits; the `sub` of our tokens
    issuer: str
    subject: str
    handle: str = Field(unique=True)
    name: str = ""
    email: str = ""
    password_hash: str = Field(default="", repr=False)
    is_admin: bool = False
    provider: str = ""  # the slug of the identity provider that knows them; empty: they are ours
    vouched_at: float = 0  # when they last proved there who they are; what was said before that says nothing new
    created_at: float = 0
    disabled_at: float | None = None
    disabled_by: str = ""  # a provider that no longer knows them, which a sign-in there undoes; empty: an administrator

    __table_args__ = (UniqueConstraint("issuer", "subject"),)

    @property
    def label(self) -> str:
        return f"user:{self.handle}"


class Group(SQLModel, table=True):
    __tablename__ = "people_group"
    name: str = Field(primary_key=True)
    created_at: float = 0


class Membership(SQLModel, table=True):
    """`member` is a person's id or a client's id; `until` is set by a sign-in, empty where an admin says so."""

    __tablename__ = "membership"
    member: str = Field(primary_key=True)
    group: str = Field(primary_key=True)
    until: float | None = None
    mapped: bool = False  # a sign-in gave it, and the next one may take it
    provisioned: bool = False  # a provider's SCIM client gave it, and may take it
