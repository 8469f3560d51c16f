"""Where the processes of an installation meet: epochs, leases, and the rendezvous."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, LargeBinary
from sqlmodel import Field, SQLModel


class Epoch(SQLModel, table=True):
    __tablename__ = "epoch"
    concern: str = Field(primary_key=True)
    value: int = 0


class Lease(SQLModel, table=True):
    """Held by one process at a time until `until`."""

    __tablename__ = "lease"
    name: str = Field(primary_key=True)
    holder: str
    until: float


class Parcel(SQLModel, table=True):
    """A value left in the rendezvous under a key."""

    __tablename__ = "parcel"
    key: str = Field(primary_key=True)
    value: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    expires_at: float = Field(index=True)


class Letter(SQLModel, table=True):
    """A message in a box of the rendezvous; read in the order of `id`, which is never used twice."""

    __tablename__ = "letter"
    __table_args__ = {"sqlite_autoincrement": True}
    id: int | None = Field(default=None, primary_key=True)
    box: str = Field(index=True)
    body: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    expires_at: float = Field(index=True)


class Tally(SQLModel, table=True):
    """How often something happened in a window of time."""

    __tablename__ = "tally"
    key: str = Field(primary_key=True)
    window: int = Field(primary_key=True, sa_type=BigInteger)
    count: int = 0
