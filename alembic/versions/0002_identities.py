"""Identity providers, delegations and tool tokens."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "claim_mapping",
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("claim", sa.String(), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.Column("group", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("provider", "claim", "value", "group"),
    )
    op.create_table(
        "delegation",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("agent", sa.String(), nullable=False),
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("uses_left", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("last_used_at", sa.Float(), nullable=True),
        sa.Column("expires_at", sa.Float(), nullable=False),
        sa.Column("ended_at", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("delegation", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_delegation_agent"), ["agent"], unique=False)
        batch_op.create_index(batch_op.f("ix_delegation_person"), ["person"], unique=False)

    op.create_table(
        "device_grant",
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("user_code", sa.String(), nullable=False),
        sa.Column("client", sa.String(), nullable=False),
        sa.Column("resource", sa.String(), nullable=False),
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=False),
        sa.Column("polled_at", sa.Float(), nullable=False),
        sa.Column("interval", sa.Float(), nullable=False),
        sa.Column("answer", sa.String(), nullable=False),
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("auth_time", sa.Float(), nullable=False),
        sa.Column("acr", sa.String(), nullable=False),
        sa.Column("amr", sa.String(), nullable=False),
        sa.Column("jkt", sa.String(), nullable=False),
        sa.Column("session", sa.String(), nullable=False),
        sa.Column("used_at", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("hash"),
        sa.UniqueConstraint("user_code"),
    )
    with op.batch_alter_table("device_grant", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_device_grant_client"), ["client"], unique=False)

    op.create_table(
        "foreign_session",
        sa.Column("session", sa.String(), nullable=False),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("keep", sa.LargeBinary(), nullable=False),
        sa.Column("asked_at", sa.Float(), nullable=False),
        sa.Column("until", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("session"),
    )
    with op.batch_alter_table("foreign_session", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_foreign_session_name"), ["name"], unique=False)
        batch_op.create_index(batch_op.f("ix_foreign_session_person"), ["person"], unique=False)
        batch_op.create_index(batch_op.f("ix_foreign_session_provider"), ["provider"], unique=False)

    op.create_table(
        "pending_sign_in",
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("browser", sa.String(), nullable=False),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("kept", sa.LargeBinary(), nullable=False),
        sa.Column("ticket", sa.String(), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("hash"),
    )
    with op.batch_alter_table("pending_sign_in", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_pending_sign_in_ticket"), ["ticket"], unique=False)

    op.create_table(
        "personal_token",
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("resource", sa.String(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=False),
        sa.Column("last_used_at", sa.Float(), nullable=True),
        sa.Column("ended_at", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("hash"),
        sa.UniqueConstraint("id"),
    )
    with op.batch_alter_table("personal_token", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_personal_token_person"), ["person"], unique=False)

    op.create_table(
        "provider",
        sa.Column("slug", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("domains", sa.JSON(), nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("declared", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("disabled_at", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("slug"),
    )
    op.create_table(
        "recovery_code",
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("used_at", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("hash"),
    )
    with op.batch_alter_table("recovery_code", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_recovery_code_person"), ["person"], unique=False)

    op.create_table(
        "scim_resource",
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("external_id", sa.String(), nullable=False),
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("modified_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("provider", "id"),
        sa.UniqueConstraint("provider", "kind", "name"),
    )
    with op.batch_alter_table("scim_resource", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_scim_resource_person"), ["person"], unique=False)

    op.create_table(
        "scim_token",
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=False),
        sa.Column("ended_at", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("hash"),
        sa.UniqueConstraint("id"),
    )
    with op.batch_alter_table("scim_token", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_scim_token_provider"), ["provider"], unique=False)

    op.create_table(
        "second_factor",
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("person"),
    )
    op.create_table(
        "spent",
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("until", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("hash"),
    )
    with op.batch_alter_table("spent", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_spent_until"), ["until"], unique=False)

    op.create_table(
        "trusted_issuer",
        sa.Column("issuer", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("keys", sa.JSON(), nullable=True),
        sa.Column("keys_uri", sa.String(), nullable=False),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("issuer", "kind"),
    )
    op.create_table(
        "vault_page",
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("kind"),
    )
    op.create_table(
        "workload_rule",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("issuer", sa.String(), nullable=False),
        sa.Column("claims", sa.JSON(), nullable=False),
        sa.Column("agent", sa.String(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("workload_rule", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_workload_rule_agent"), ["agent"], unique=False)
        batch_op.create_index(batch_op.f("ix_workload_rule_issuer"), ["issuer"], unique=False)

    with op.batch_alter_table("browser_session", schema=None) as batch_op:
        batch_op.add_column(sa.Column("auth_time", sa.Float(), nullable=False, server_default="0"))

    with op.batch_alter_table("client", schema=None) as batch_op:
        batch_op.add_column(sa.Column("keys", sa.JSON(), nullable=True))
        batch_op.add_column(sa.Column("keys_uri", sa.String(), nullable=False, server_default=""))
        batch_op.add_column(sa.Column("scope", sa.String(), nullable=False, server_default=""))
        batch_op.add_column(sa.Column("external_client_ids", sa.JSON(), nullable=False, server_default="[]"))

    with op.batch_alter_table("code", schema=None) as batch_op:
        batch_op.add_column(sa.Column("jkt", sa.String(), nullable=False, server_default=""))

    with op.batch_alter_table("membership", schema=None) as batch_op:
        batch_op.add_column(sa.Column("mapped", sa.Boolean(), nullable=False, server_default=sa.false()))
        batch_op.add_column(sa.Column("provisioned", sa.Boolean(), nullable=False, server_default=sa.false()))

    with op.batch_alter_table("person", schema=None) as batch_op:
        batch_op.add_column(sa.Column("provider", sa.String(), nullable=False, server_default=""))
        batch_op.add_column(sa.Column("vouched_at", sa.Float(), nullable=False, server_default="0"))
        batch_op.add_column(sa.Column("disabled_by", sa.String(), nullable=False, server_default=""))

    with op.batch_alter_table("refresh_token", schema=None) as batch_op:
        batch_op.add_column(sa.Column("session", sa.String(), nullable=False, server_default=""))
        batch_op.add_column(sa.Column("jkt", sa.String(), nullable=False, server_default=""))
        batch_op.create_index(batch_op.f("ix_refresh_token_session"), ["session"], unique=False)

    with op.batch_alter_table("segment", schema=None) as batch_op:
        batch_op.add_column(sa.Column("place", sa.String(), nullable=False, server_default=""))


def downgrade() -> None:
    with op.batch_alter_table("segment", schema=None) as batch_op:
        batch_op.drop_column("place")

    with op.batch_alter_table("refresh_token", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_refresh_token_session"))
        batch_op.drop_column("jkt")
        batch_op.drop_column("session")

    with op.batch_alter_table("person", schema=None) as batch_op:
        batch_op.drop_column("disabled_by")
        batch_op.drop_column("vouched_at")
        batch_op.drop_column("provider")

    with op.batch_alter_table("membership", schema=None) as batch_op:
        batch_op.drop_column("provisioned")
        batch_op.drop_column("mapped")

    with op.batch_alter_table("code", schema=None) as batch_op:
        batch_op.drop_column("jkt")

    with op.batch_alter_table("client", schema=None) as batch_op:
        batch_op.drop_column("external_client_ids")
        batch_op.drop_column("scope")
        batch_op.drop_column("keys_uri")
        batch_op.drop_column("keys")

    with op.batch_alter_table("browser_session", schema=None) as batch_op:
        batch_op.drop_column("auth_time")

    with op.batch_alter_table("workload_rule", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_workload_rule_issuer"))
        batch_op.drop_index(batch_op.f("ix_workload_rule_agent"))

    op.drop_table("workload_rule")
    op.drop_table("vault_page")
    op.drop_table("trusted_issuer")
    with op.batch_alter_table("spent", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_spent_until"))

    op.drop_table("spent")
    op.drop_table("second_factor")
    with op.batch_alter_table("scim_token", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_scim_token_provider"))

    op.drop_table("scim_token")
    with op.batch_alter_table("scim_resource", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_scim_resource_person"))

    op.drop_table("scim_resource")
    with op.batch_alter_table("recovery_code", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_recovery_code_person"))

    op.drop_table("recovery_code")
    op.drop_table("provider")
    with op.batch_alter_table("personal_token", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_personal_token_person"))

    op.drop_table("personal_token")
    with op.batch_alter_table("pending_sign_in", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_pending_sign_in_ticket"))

    op.drop_table("pending_sign_in")
    with op.batch_alter_table("foreign_session", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_foreign_session_provider"))
        batch_op.drop_index(batch_op.f("ix_foreign_session_person"))
        batch_op.drop_index(batch_op.f("ix_foreign_session_name"))

    op.drop_table("foreign_session")
    with op.batch_alter_table("device_grant", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_device_grant_client"))

    op.drop_table("device_grant")
    with op.batch_alter_table("delegation", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_delegation_person"))
        batch_op.drop_index(batch_op.f("ix_delegation_agent"))

    op.drop_table("delegation")
    op.drop_table("claim_mapping")
