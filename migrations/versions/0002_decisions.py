"""Silences, acknowledgements, lapses, reminders, flapping, calendars; why an alert was hidden."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

INSTANT = sa.String(27)
KEY = ("environment_id", "number_id", "topic")


def upgrade() -> None:
    op.add_column("alerts", sa.Column("topic", sa.Text))
    op.add_column("alerts", sa.Column("hidden", sa.Text))
    op.add_column("deliveries", sa.Column("severity", sa.Integer, nullable=False, server_default="2"))
    op.add_column("deliveries", sa.Column("at_once", sa.Boolean, nullable=False, server_default="0"))
    op.add_column("deliveries", sa.Column("note", sa.Text))
    op.add_column("deliveries", sa.Column("fallback_at", INSTANT))
    op.create_table(
        "silences",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("match", sa.Text, nullable=False),
        sa.Column("kinds", sa.JSON, nullable=False),
        sa.Column("starts_at", INSTANT, nullable=False),
        sa.Column("ends_at", INSTANT, nullable=False),
        sa.Column("author", sa.Text, nullable=False),
        sa.Column("comment", sa.Text, nullable=False),
        sa.Column("ended_at", INSTANT),
        sa.Column("ended_by", sa.Text),
        sa.Column("warned_at", INSTANT),
    )
    op.create_table(
        "lapses",
        sa.Column("number_id", sa.Integer, sa.ForeignKey("numbers.id"), primary_key=True),
        sa.Column("renews_on", sa.Integer),
        sa.Column("reminded_on", sa.Integer),
        sa.Column("set_at", INSTANT, nullable=False),
        sa.Column("author", sa.Text, nullable=False),
        sa.Column("comment", sa.Text, nullable=False),
    )
    op.create_table(
        "matters",
        *_key(),
        sa.Column("alert_id", sa.Integer, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("severity", sa.Integer, nullable=False),
        sa.Column("rank", sa.Integer, nullable=False),
        sa.Column("opened_at", INSTANT, nullable=False),
        sa.Column("told_at", INSTANT),
        sa.Column("reminded", sa.Integer, nullable=False),
        sa.Column("hidden", sa.Text),
        sa.Column("hider", sa.Text),
        sa.Column("acked_at", INSTANT),
        sa.Column("acked_by", sa.Text),
        sa.Column("acked_rank", sa.Integer),
        sa.Column("urgent_at", INSTANT),
        sa.Column("escalated_at", INSTANT),
    )
    op.create_table(
        "flaps",
        *_key(),
        sa.Column("times", sa.JSON, nullable=False),
        sa.Column("since", INSTANT),
        sa.Column("worst", sa.Integer, nullable=False),
    )
    op.create_table(
        "calendars",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("fired_at", INSTANT, nullable=False),
        sa.Column("state", sa.Text),
    )
    op.create_table(
        "actions",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("author", sa.Text, nullable=False),
        sa.Column("verb", sa.Text, nullable=False),
        sa.Column("environment_id", sa.Integer, nullable=False),
        sa.Column("number_id", sa.Integer, nullable=False),
        sa.Column("comment", sa.Text, nullable=False),
    )


def _key() -> list[sa.Column[object]]:
    return [sa.Column(name, sa.Text if name == "topic" else sa.Integer, primary_key=True) for name in KEY]


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
