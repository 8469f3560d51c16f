"""What is sealed: the data key, secrets by whose they are, and the pages that say which there should be."""

from __future__ import annotations

from sqlalchemy import Column, LargeBinary
from sqlmodel import Field, SQLModel


class DataKey(SQLModel, table=True):
    """A key for sealing, itself wrapped by the master key."""

    __tablename__ = "data_key"
    id: str = Field(primary_key=True)
    wrapped: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    created_at: float


class Secret(SQLModel, table=True):
    """A sealed secret. Its key is associated data, so it opens nowhere else; its page knows it, so none is put back."""

    __tablename__ = "secret"
    owner: str = Field(primary_key=True)  # for instance "server:notes"
    purpose: str = Field(primary_key=True)
    version: int = 1  # part of the associated data too
    key_id: str
    sealed: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class VaultPage(SQLModel, table=True):
    """Which secrets of a kind there are, and which version of each; sealed as a whole (docs/decisions/0010)."""

    __tablename__ = "vault_page"
    kind: str = Field(primary_key=True)  # what the owner begins with: "server"
    sealed: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
