"""Many numbers, many machines: daemons that share a database and what they hold; a lighter index on the status."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

INSTANT = sa.String(27)


def upgrade() -> None:
    op.drop_index("numbers_by_status")
    not_active = sa.text("status <> 'active'")
    op.create_index("numbers_by_status", "numbers", ["status"], sqlite_where=not_active)
    op.create_index("changes_by_poll", "changes", ["poll_id"])
    op.create_index("delivery_alerts_by_alert", "delivery_alerts", ["alert_id"])
    op.add_column("deliveries", sa.Column("leased_by", sa.Text))
    op.add_column("environments", sa.Column("took_s", sa.Integer))
    op.create_table(
        "instances",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("started_at", INSTANT, nullable=False),
        sa.Column("alive_until", INSTANT, nullable=False),
        sa.Column("in_touch_since", INSTANT, nullable=False),
        sa.Column("polled", sa.Integer, nullable=False, server_default="0"),
        sa.Column("sent", sa.Integer, nullable=False, server_default="0"),
    )
    op.create_table(
        "leases",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("token", sa.Text, nullable=False),
        sa.Column("instance", sa.Text, nullable=False),
        sa.Column("taken_at", INSTANT, nullable=False),
    )
    op.create_table(
        "rates",
        sa.Column("token", sa.Text, primary_key=True),
        sa.Column("next_at", INSTANT, nullable=False),
        sa.Column("held_until", INSTANT),
    )
    about = op.create_table(
        "about",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
    op.bulk_insert(about, [{"name": "least", "value": "0004"}])


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
