"""Tokens of the API, links called back, where an act came from, where a message went, what on-call services were told."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
INSTANT = sa.String(27)


def upgrade() -> None:
    op.add_column("actions", sa.Column("origin", sa.Text))
    op.add_column("actions", sa.Column("subject", sa.Text))
    op.add_column("deliveries", sa.Column("target", sa.Text))
    op.create_table(
        "tokens",
        sa.Column("id", NUMBER, primary_key=True),
        sa.Column("name", sa.Text, nullable=False, unique=True),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False, unique=True),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("expires_at", INSTANT),
        sa.Column("revoked_at", INSTANT),
    )
    op.create_table(
        "revoked_links",
        sa.Column("id", NUMBER, primary_key=True),
        sa.Column("before", INSTANT, nullable=False),
        sa.Column("channel", sa.Text),
        sa.Column("incident", sa.Text),
    )
    op.create_table(
        "oncall_states",
        sa.Column("channel", sa.Text, primary_key=True),
        sa.Column("incident_id", NUMBER, primary_key=True),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("severity", NUMBER, nullable=False),
        sa.Column("told_at", INSTANT),
        sa.Column("attempts", NUMBER, nullable=False),
        sa.Column("next_attempt_at", INSTANT, nullable=False),
        sa.Column("last_error", sa.Text),
        sa.Column("remote", sa.Text),
    )


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
