"""Connections to servers, and how each server is reached."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "notice",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("due_at", sa.Float(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("notice", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_notice_due_at"), ["due_at"], unique=False)

    op.create_table(
        "pending_connect",
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("server", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("browser", sa.String(), nullable=False),
        sa.Column("issuer", sa.String(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("back_to", sa.String(), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("state"),
    )
    with op.batch_alter_table("pending_connect", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_pending_connect_expires_at"), ["expires_at"], unique=False)

    op.create_table(
        "api_description",
        sa.Column("server", sa.String(), nullable=False),
        sa.Column("url", sa.String(), nullable=False),
        sa.Column("choice", sa.JSON(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("etag", sa.String(), nullable=False),
        sa.Column("modified", sa.String(), nullable=False),
        sa.Column("read_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(
            ["server"],
            ["server.slug"],
        ),
        sa.PrimaryKeyConstraint("server"),
    )
    op.create_table(
        "connection",
        sa.Column("server", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("why", sa.String(), nullable=False),
        sa.Column("changed_at", sa.Float(), nullable=False),
        sa.Column("connected_at", sa.Float(), nullable=False),
        sa.Column("connected_by", sa.String(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("issuer", sa.String(), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=True),
        sa.Column("ends_at", sa.Float(), nullable=True),
        sa.Column("refresh_at", sa.Float(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("warned_at", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(
            ["server"],
            ["server.slug"],
        ),
        sa.PrimaryKeyConstraint("server", "subject"),
    )
    with op.batch_alter_table("connection", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_connection_refresh_at"), ["refresh_at"], unique=False)

    op.create_table(
        "upstream_client",
        sa.Column("server", sa.String(), nullable=False),
        sa.Column("issuer", sa.String(), nullable=False),
        sa.Column("client_id", sa.String(), nullable=False),
        sa.Column("how", sa.String(), nullable=False),
        sa.Column("auth_method", sa.String(), nullable=False),
        sa.Column("redirect_uri", sa.String(), nullable=False),
        sa.Column("registered_at", sa.Float(), nullable=False),
        sa.Column("secret_until", sa.Float(), nullable=True),
        sa.Column("warned_at", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(
            ["server"],
            ["server.slug"],
        ),
        sa.PrimaryKeyConstraint("server", "issuer"),
    )
    with op.batch_alter_table("server", schema=None) as batch_op:
        batch_op.add_column(sa.Column("transport", sa.String(), nullable=False, server_default="http"))
        batch_op.add_column(sa.Column("auth_settings", sa.JSON(), nullable=False, server_default="{}"))
        batch_op.add_column(sa.Column("allowed", sa.JSON(), nullable=False, server_default='["elicitation"]'))
        batch_op.add_column(sa.Column("limits", sa.JSON(), nullable=False, server_default="{}"))
        batch_op.add_column(sa.Column("tls", sa.JSON(), nullable=False, server_default="{}"))
        batch_op.add_column(sa.Column("trouble", sa.String(), nullable=False, server_default=""))


def downgrade() -> None:
    with op.batch_alter_table("server", schema=None) as batch_op:
        batch_op.drop_column("trouble")
        batch_op.drop_column("tls")
        batch_op.drop_column("limits")
        batch_op.drop_column("allowed")
        batch_op.drop_column("auth_settings")
        batch_op.drop_column("transport")

    op.drop_table("upstream_client")
    with op.batch_alter_table("connection", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_connection_refresh_at"))

    op.drop_table("connection")
    op.drop_table("api_description")
    with op.batch_alter_table("pending_connect", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_pending_connect_expires_at"))

    op.drop_table("pending_connect")
    with op.batch_alter_table("notice", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_notice_due_at"))

    op.drop_table("notice")
