"""What the database knows of the journal: its segments, and copies of its records for search."""

from __future__ import annotations

from sqlalchemy import BigInteger, Index
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
    indexed: int = Field(default=0, sa_type=BigInteger)  # bytes of the file that are copied into blocks
    indexed_seq: int = Field(default=0, sa_type=BigInteger)  # the last record of them: a file that is shorter was cut


class JournalBlock(SQLModel, table=True):
    """Records of a segment that follow each other, copied here for search; the files are the truth."""

    __tablename__ = "journal_block"
    id: str = Field(primary_key=True)  # "{segment}/{first_seq}"
    segment: str
    first_seq: int = Field(sa_type=BigInteger)
    last_seq: int = Field(sa_type=BigInteger)
    since: float
    until: float
    lines: bytes  # without the last line feed; the last column, so that the others are read without it

    __table_args__ = (
        Index("ix_journal_block_segment_first_seq", "segment", "first_seq"),
        Index("ix_journal_block_until_since", "until", "since"),
    )


class JournalName(SQLModel, table=True):
    """What leads to a block: somebody or something that its records name, or an id."""

    __tablename__ = "journal_name"
    kind: str = Field(primary_key=True)
    value: str = Field(primary_key=True)
    until: float = Field(primary_key=True)  # of the block
    block: str = Field(primary_key=True, index=True)

    __table_args__ = ({"sqlite_with_rowid": False},)
