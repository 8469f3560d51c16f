"""The journal is copied for search in blocks; what was copied until now stays, also of a machine that is gone."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

BATCH = 256
KINDS = {"event": "event", "principal": "who", "server": "server", "object": "object", "outcome": "outcome",
         "call": "id", "decision": "id"}  # fmt: skip

entry = sa.table("journal_entry", *map(sa.column, ("id", "at", "segment", "line", *KINDS)))
block = sa.table(
    "journal_block", *map(sa.column, ("id", "segment", "first_seq", "last_seq", "since", "until", "lines"))
)
name = sa.table("journal_name", *map(sa.column, ("kind", "value", "until", "block")))


def upgrade() -> None:
    op.create_table(
        "journal_block",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("segment", sa.String(), nullable=False),
        sa.Column("first_seq", sa.BigInteger(), nullable=False),
        sa.Column("last_seq", sa.BigInteger(), nullable=False),
        sa.Column("since", sa.Float(), nullable=False),
        sa.Column("until", sa.Float(), nullable=False),
        sa.Column("lines", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("journal_block", schema=None) as batch_op:
        batch_op.create_index("ix_journal_block_segment_first_seq", ["segment", "first_seq"], unique=False)
        batch_op.create_index("ix_journal_block_until_since", ["until", "since"], unique=False)

    op.create_table(
        "journal_name",
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.Column("until", sa.Float(), nullable=False),
        sa.Column("block", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "value", "until", "block"),
        sqlite_with_rowid=False,
    )
    with op.batch_alter_table("journal_name", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_journal_name_block"), ["block"], unique=False)

    _put_into_blocks(op.get_bind())
    with op.batch_alter_table("journal_entry", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_journal_entry_at"))
        batch_op.drop_index(batch_op.f("ix_journal_entry_call"))
        batch_op.drop_index(batch_op.f("ix_journal_entry_decision"))
        batch_op.drop_index(batch_op.f("ix_journal_entry_event"))
        batch_op.drop_index(batch_op.f("ix_journal_entry_object"))
        batch_op.drop_index(batch_op.f("ix_journal_entry_principal"))
        batch_op.drop_index(batch_op.f("ix_journal_entry_segment"))
        batch_op.drop_index(batch_op.f("ix_journal_entry_server_at"))

    op.drop_table("journal_entry")


def _put_into_blocks(connection: sa.Connection) -> None:
    for segment in connection.execute(sa.select(entry.c.segment).distinct()).scalars().all():
        wanted = sa.select(entry).where(entry.c.segment == segment)
        ordered = wanted.order_by(sa.func.length(entry.c.id), entry.c.id)  # "{writer}/{seq}" of one writer
        with connection.execute(ordered, execution_options={"yield_per": BATCH}) as found:
            for rows in found.partitions():
                for run in _runs(rows):
                    _put(connection, segment, run)


def _runs(rows: Iterable[Any]) -> Iterator[list[Any]]:
    """Those whose numbers follow each other."""
    numbered = enumerate(rows)
    for _, run in groupby(numbered, lambda one: _seq(one[1]) - one[0]):
        yield [row for _, row in run]


def _put(connection: sa.Connection, segment: str, rows: Sequence[Any]) -> None:
    first, until = f"{segment}/{_seq(rows[0])}", max(row.at for row in rows)
    numbers = {"first_seq": _seq(rows[0]), "last_seq": _seq(rows[-1]), "since": min(row.at for row in rows)}
    lines = "\n".join(row.line for row in rows).encode()
    connection.execute(block.insert(), {"id": first, "segment": segment, **numbers, "until": until, "lines": lines})
    names = {(kind, value[:200]) for row in rows for kind, value in _names(row)}
    connection.execute(
        name.insert(), [{"kind": kind, "value": value, "until": until, "block": first} for kind, value in names]
    )


def _names(row: Any) -> Iterator[tuple[str, str]]:
    named = [(kind, getattr(row, column)) for column, kind in KINDS.items()]
    if "." in row.object:
        named.append(("server", row.object.partition(".")[0]))
    return ((kind, value) for kind, value in named if value)


def _seq(row: Any) -> int:
    return int(row.id.rpartition("/")[2])


def downgrade() -> None:
    op.create_table(
        "journal_entry",
        sa.Column("id", sa.VARCHAR(), nullable=False),
        sa.Column("at", sa.FLOAT(), nullable=False),
        sa.Column("event", sa.VARCHAR(), nullable=False),
        sa.Column("call", sa.VARCHAR(), nullable=False),
        sa.Column("decision", sa.VARCHAR(), nullable=False),
        sa.Column("segment", sa.VARCHAR(), nullable=False),
        sa.Column("principal", sa.VARCHAR(), nullable=False),
        sa.Column("server", sa.VARCHAR(), nullable=False),
        sa.Column("object", sa.VARCHAR(), nullable=False),
        sa.Column("outcome", sa.VARCHAR(), nullable=False),
        sa.Column("line", sa.TEXT(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("journal_entry", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_journal_entry_server_at"), ["server", "at"], unique=False)
        batch_op.create_index(batch_op.f("ix_journal_entry_segment"), ["segment"], unique=False)
        batch_op.create_index(batch_op.f("ix_journal_entry_principal"), ["principal"], unique=False)
        batch_op.create_index(batch_op.f("ix_journal_entry_object"), ["object"], unique=False)
        batch_op.create_index(batch_op.f("ix_journal_entry_event"), ["event"], unique=False)
        batch_op.create_index(batch_op.f("ix_journal_entry_decision"), ["decision"], unique=False)
        batch_op.create_index(batch_op.f("ix_journal_entry_call"), ["call"], unique=False)
        batch_op.create_index(batch_op.f("ix_journal_entry_at"), ["at"], unique=False)

    with op.batch_alter_table("journal_name", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_journal_name_block"))

    op.drop_table("journal_name")
    with op.batch_alter_table("journal_block", schema=None) as batch_op:
        batch_op.drop_index("ix_journal_block_until_since")
        batch_op.drop_index("ix_journal_block_segment_first_seq")

    op.drop_table("journal_block")
    op.execute("UPDATE segment SET indexed = 0, indexed_seq = 0")  # to be copied anew
