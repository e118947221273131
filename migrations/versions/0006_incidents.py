"""What an alert is about, as facts; incidents in the place of matters: a row each from opening to resolution, kept after it."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
INSTANT = sa.String(27)
OPENING = """(SELECT min(a.id) FROM alerts a WHERE a.environment_id = m.environment_id AND a.number_id = m.number_id
    AND a.topic = m.topic AND a.created_at >= m.opened_at)"""
NAME = """(SELECT coalesce(e.name || '/', '') || a.kind || '/' || coalesce(n.provider_id || '/', '') || a.mark FROM alerts a
    LEFT JOIN environments e ON e.id = a.environment_id LEFT JOIN numbers n ON n.id = a.number_id WHERE a.id = {0})"""


def upgrade() -> None:
    op.add_column("alerts", sa.Column("facts", sa.Text))
    op.add_column("alerts", sa.Column("incident_id", NUMBER))
    op.create_table(
        "incidents",
        sa.Column("id", NUMBER, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("environment_id", NUMBER, nullable=False),
        sa.Column("number_id", NUMBER, nullable=False),
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("alert_id", NUMBER, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("severity", NUMBER, nullable=False),
        sa.Column("rank", NUMBER, nullable=False),
        sa.Column("opened_at", INSTANT, nullable=False),
        sa.Column("resolved_at", INSTANT),
        sa.Column("notified_at", INSTANT),
        sa.Column("reminded", NUMBER, nullable=False),
        sa.Column("suppressed", sa.Text),
        sa.Column("suppressor", sa.Text),
        sa.Column("acked_at", INSTANT),
        sa.Column("acked_by", sa.Text),
        sa.Column("acked_rank", NUMBER),
        sa.Column("urgent_at", INSTANT),
        sa.Column("escalated_at", INSTANT),
    )
    # An incident is called by the key of the alert that opened it; where that was deleted, by the one it has.
    op.execute(f"""INSERT INTO incidents (name, environment_id, number_id, topic, alert_id, kind, severity, rank, opened_at,
            notified_at, reminded, suppressed, suppressor, acked_at, acked_by, acked_rank, urgent_at, escalated_at)
        SELECT coalesce({NAME.format(OPENING)}, {NAME.format("m.alert_id")}, m.kind || '/' || m.topic), m.environment_id,
            m.number_id, m.topic, m.alert_id, m.kind, m.severity, m.rank, m.opened_at, m.told_at, m.reminded, m.hidden,
            m.hider, m.acked_at, m.acked_by, m.acked_rank, m.urgent_at, m.escalated_at
        FROM matters m ORDER BY m.opened_at, m.environment_id, m.number_id, m.topic""")
    op.create_index("incidents_by_number", "incidents", ["number_id"])  # before what looks up each alert's
    op.execute("""UPDATE alerts SET incident_id = (SELECT i.id FROM incidents i WHERE i.environment_id = alerts.environment_id
        AND i.number_id = alerts.number_id AND i.topic = alerts.topic AND i.opened_at <= alerts.created_at)""")
    op.drop_table("matters")
    still = sa.text("resolved_at IS NULL")
    columns = ["environment_id", "number_id", "topic"]
    op.create_index("incidents_open", "incidents", columns, unique=True, sqlite_where=still, postgresql_where=still)
    op.execute("UPDATE about SET value = '0006' WHERE name = 'least'")


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
