"""The first schema: environments, polls, numbers and their versions, alerts, the outbox, and views to read them."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

INSTANT = sa.String(27)

# What the list says of a number, for people with a sqlite3 shell. Days are counted in UTC here.
ENTRY_COLUMNS = """
  json_extract(t.entry, '$.number') AS number,
  json_extract(t.entry, '$.current_status') AS status,
  json_extract(t.entry, '$.type') AS type,
  json_extract(t.entry, '$.country_code') AS country_code,
  json_extract(t.entry, '$.renewal_date') AS renewal_date,
  json_extract(t.entry, '$.auto_renewal') AS auto_renewal,
  json_extract(t.entry, '$.monthly_renewal_cost') AS monthly_renewal_cost,
  json_extract(t.entry, '$.current_price') AS current_price,
  json_extract(t.entry, '$.currency') AS currency
"""
NOW_S = "CAST(strftime('%s', 'now') AS INTEGER)"
FAR_DAYS = 1000000  # keeps the division below from rounding towards zero

VIEWS = {
    "fleet": f"""
        SELECT e.name AS environment, n.provider_id AS id, {ENTRY_COLUMNS},
          CASE WHEN n.zero_at IS NOT NULL
            THEN {FAR_DAYS} - ({NOW_S} - n.zero_at + {FAR_DAYS} * 86400) / 86400
            ELSE n.renews_on - CAST(julianday('now') - 1721424.5 AS INTEGER) END AS days_left,
          date(n.renews_on + 1721424.5) AS renews_on,
          datetime(a.missing_at, 'unixepoch') AS missing_since,
          t.entry AS entry
        FROM numbers n JOIN environments e ON e.id = n.environment_id JOIN entries t ON t.number_id = n.id
          LEFT JOIN absences a ON a.number_id = n.id""",
    "history": """
        SELECT e.name AS environment, n.provider_id AS id, n.number AS number, p.started_at AS seen_at,
          (SELECT max(b.started_at) FROM polls b
            WHERE b.environment_id = e.id AND b.outcome = 'ok' AND b.id < c.poll_id) AS not_yet_at,
          CASE WHEN c.is_listed AND NOT c.was_listed THEN 'listed again'
            WHEN c.is_listed THEN 'changed' ELSE 'unlisted' END AS what,
          c.fields AS fields
        FROM changes c JOIN numbers n ON n.id = c.number_id JOIN environments e ON e.id = n.environment_id
          JOIN polls p ON p.id = c.poll_id
        WHERE c.fields IS NOT NULL OR c.is_listed <> c.was_listed
        UNION ALL
        SELECT e.name, n.provider_id, n.number, p.started_at,
          (SELECT max(b.started_at) FROM polls b
            WHERE b.environment_id = e.id AND b.outcome = 'ok' AND b.id < n.first_poll_id), 'listed', NULL
        FROM numbers n JOIN environments e ON e.id = n.environment_id JOIN polls p ON p.id = n.first_poll_id""",
    "poll_log": """
        SELECT p.id, e.name AS environment, p.started_at, p.finished_at, p.outcome, p.error, p.numbers, p.invalid, p.changed
        FROM polls p JOIN environments e ON e.id = p.environment_id""",
    "outbox": """
        SELECT d.message_id, d.channel, d.state, d.created_at, d.attempts, d.next_attempt_at, d.last_error, d.sent_at,
          a.kind, CASE a.severity WHEN 0 THEN 'info' WHEN 1 THEN 'warning' ELSE 'critical' END AS severity,
          e.name AS environment, n.number, a.text
        FROM deliveries d JOIN delivery_alerts da ON da.delivery_id = d.id JOIN alerts a ON a.id = da.alert_id
          LEFT JOIN environments e ON e.id = a.environment_id LEFT JOIN numbers n ON n.id = a.number_id""",
}


def upgrade() -> None:
    op.create_table(
        "environments",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.Text, nullable=False, unique=True),
        sa.Column("numbers", sa.Integer, nullable=False),
        sa.Column("has_baseline", sa.Boolean, nullable=False),
        sa.Column("last_poll_at", INSTANT),
        sa.Column("last_success_at", INSTANT),
        sa.Column("last_error", sa.Text),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("failing_since", INSTANT),
        sa.Column("told", sa.JSON, nullable=False),
        sa.Column("shrunk_at", INSTANT),
        sa.Column("invalid", sa.JSON, nullable=False),
        sa.Column("turn_s", sa.Integer),
        sa.Column("next_poll_at", INSTANT),
        sa.Column("hold_until", INSTANT),
        sa.Column("hold_token", sa.Text),
    )
    op.create_table(
        "polls",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("environment_id", sa.Integer, sa.ForeignKey("environments.id"), nullable=False),
        sa.Column("started_at", INSTANT, nullable=False),
        sa.Column("finished_at", INSTANT, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("numbers", sa.Integer),
        sa.Column("invalid", sa.Integer),
        sa.Column("changed", sa.Integer),
    )
    op.create_index("polls_by_time", "polls", ["environment_id", "started_at"])
    op.create_table(
        "numbers",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("provider_id", sa.Text, nullable=False),
        sa.Column("number", sa.Text, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("zero_at", sa.Integer),
        sa.Column("renews_on", sa.Integer),
        sa.Column("auto_renewal", sa.Boolean, nullable=False),
        sa.Column("is_sandbox", sa.Boolean, nullable=False),
        sa.Column("environment_id", sa.Integer, sa.ForeignKey("environments.id"), nullable=False),
        sa.Column("first_poll_id", sa.Integer, sa.ForeignKey("polls.id"), nullable=False),
        sa.UniqueConstraint("provider_id", "environment_id"),
    )
    op.create_index("numbers_by_environment", "numbers", ["environment_id"])
    op.create_table(
        "cycles",
        sa.Column("number_id", sa.Integer, sa.ForeignKey("numbers.id"), primary_key=True),
        sa.Column("renews_on", sa.Integer, nullable=False),
        sa.Column("told_threshold", sa.Integer),
        sa.Column("told_due_flag", sa.Boolean, nullable=False),
        sa.Column("overdue_at", sa.Integer),
        sa.Column("overdue_told", sa.Integer, nullable=False),
    )
    op.create_table(
        "absences",
        sa.Column("number_id", sa.Integer, sa.ForeignKey("numbers.id"), primary_key=True),
        sa.Column("polls", sa.Integer, nullable=False),
        sa.Column("missing_at", sa.Integer),
    )
    op.create_table(
        "entries",
        sa.Column("number_id", sa.Integer, sa.ForeignKey("numbers.id"), primary_key=True),
        sa.Column("poll_id", sa.Integer, sa.ForeignKey("polls.id"), nullable=False),
        sa.Column("entry", sa.Text, nullable=False),
    )
    op.create_table(
        "changes",
        sa.Column("number_id", sa.Integer, sa.ForeignKey("numbers.id"), primary_key=True),
        sa.Column("poll_id", sa.Integer, sa.ForeignKey("polls.id"), primary_key=True),
        sa.Column("was_listed", sa.Boolean, nullable=False),
        sa.Column("is_listed", sa.Boolean, nullable=False),
        sa.Column("fields", sa.Text),
        sa.Column("zero_before", sa.Integer),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "alerts",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("environment_id", sa.Integer, nullable=False),
        sa.Column("number_id", sa.Integer, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("mark", sa.Text, nullable=False),
        sa.Column("severity", sa.Integer, nullable=False),
        sa.Column("days_left", sa.Integer),
        sa.Column("headline", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.UniqueConstraint("number_id", "kind", "mark", "environment_id"),
    )
    op.create_table(
        "deliveries",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("message_id", sa.Text, nullable=False, unique=True),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_attempt_at", INSTANT, nullable=False),
        sa.Column("give_up_at", INSTANT, nullable=False),
        sa.Column("lease", sa.Text),
        sa.Column("leased_until", INSTANT),
        sa.Column("last_error", sa.Text),
        sa.Column("sent_at", INSTANT),
    )
    op.create_index("deliveries_due", "deliveries", ["state", "channel", "next_attempt_at"])
    op.create_table(
        "delivery_alerts",
        sa.Column("delivery_id", sa.Integer, sa.ForeignKey("deliveries.id"), primary_key=True),
        sa.Column("alert_id", sa.Integer, sa.ForeignKey("alerts.id"), primary_key=True),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "channels",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("failing_since", INSTANT),
        sa.Column("told_at", INSTANT),
        sa.Column("last_error", sa.Text),
        sa.Column("last_sent_at", INSTANT),
    )
    for name, query in VIEWS.items():
        op.execute(f"CREATE VIEW {name} AS {query}")


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
