"""What the database knows of the journal: its segments, and the index of its entries."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Text
from sqlmodel import Field, SQLModel


class Segment(SQLModel, table=True):
    """A file of the journal: which writer, which sequence numbers, and the hash of its last record."""

    __tablename__ = "segment"
    name: str = Field(primary_key=True)
    writer: str = Field(index=True)
    place: str = ""  # the machine and directory that keep it, where several write to one database
    number: int
    first_seq: int = Field(sa_type=BigInteger)
    last_seq: int | None = Field(default=None, sa_type=BigInteger)
    head: str = ""
    previous: str = ""  # the link to the segment before it in this table
    link: str = ""
    opened_at: float = 0
    sealed_at: float | None = None
    pruned_at: float | None = None
    position: int = Field(unique=True)  # in the order of opening, without gaps
    indexed: int = Field(default=0, sa_type=BigInteger)  # bytes of the file that are copied into journal_entry
    indexed_seq: int = Field(default=0, sa_type=BigInteger)  # the last record of them: a file that is shorter was cut


class JournalEntry(SQLModel, table=True):
    """One record of the journal, copied here for search; the files are the truth."""

    __tablename__ = "journal_entry"
    id: str = Field(primary_key=True)  # "{writer}/{seq}"
    at: float = Field(index=True)
    event: str = Field(index=True)
    call: str = Field(default="", index=True)
    decision: str = Field(default="", index=True)
    segment: str = Field(default="", index=True)
    principal: str = Field(default="", index=True)
    server: str = ""
    object: str = Field(default="", index=True)
    outcome: str = ""
    line: str = Field(sa_column=Column(Text, nullable=False))

    __table_args__ = (Index("ix_journal_entry_server_at", "server", "at"),)
