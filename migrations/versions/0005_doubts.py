"""Blind to nothing: what is in doubt of a renewal day, a day that went back, a number that moved."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
ENTRY = {  # how a field of an entry, an amount in one, today as an ordinal, a day and a time are written in each shell
    "sqlite": (
        "json_extract(t.entry, '$.{0}')",
        "CASE WHEN {0} GLOB '*[0-9]*' AND {0} NOT GLOB '*[^0-9.eE+-]*' AND {0} NOT GLOB '*[.]*[.]*' THEN CAST({0} AS REAL) END",
        "CAST(julianday('now') - 1721424.5 AS INTEGER)",
        "date(n.renews_on + 1721424.5)",
        "datetime(a.missing_at, 'unixepoch')",
        "t.entry",
    ),
    "postgresql": (
        "t.entry::json ->> '{0}'",
        "CASE WHEN {0} ~ '^[+-]?[0-9]+([.][0-9]+)?([eE][+-]?[0-9]{{1,3}})?$' THEN ({0})::numeric END",
        "((now() AT TIME ZONE 'UTC')::date - DATE '0001-01-01' + 1)",
        "to_char(DATE '0001-01-01' + (n.renews_on - 1)::int, 'YYYY-MM-DD')",
        "to_char(to_timestamp(a.missing_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')",
        "t.entry::json",
    ),
}


def fleet(dialect: str) -> str:
    """The view of the fleet: amounts are numbers, and days are counted to the day that is believed."""
    field, amount, today, day, time, entry = ENTRY[dialect]
    auto = field.format("auto_renewal") if dialect == "sqlite" else "n.auto_renewal"
    texts = {"number": "number", "status": "current_status", "type": "type", "country_code": "country_code"}
    columns = [f"{field.format(name)} AS {shown}" for shown, name in texts.items()]
    columns += [f"{field.format('renewal_date')} AS renewal_date", f"{auto} AS auto_renewal"]
    columns += [f"{amount.format(field.format(name))} AS {name}" for name in ("monthly_renewal_cost", "current_price")]
    columns += [f"{field.format('currency')} AS currency", f"n.renews_on - {today} AS days_left", f"{day} AS renews_on"]
    columns += [f"{time} AS missing_since", f"{entry} AS entry"]
    return f"""SELECT e.name AS environment, n.provider_id AS id, {", ".join(columns)}
        FROM numbers n JOIN environments e ON e.id = n.environment_id JOIN entries t ON t.number_id = n.id
        LEFT JOIN absences a ON a.number_id = n.id"""


def upgrade() -> None:
    op.execute("DROP VIEW fleet")
    op.execute("CREATE VIEW fleet AS " + fleet(op.get_bind().dialect.name))
    op.add_column("cycles", sa.Column("course", NUMBER, nullable=False, server_default="0"))
    op.add_column("environments", sa.Column("clock_off_at", sa.String(27)))
    op.add_column("environments", sa.Column("confirmed_at", sa.String(27)))
    op.add_column("absences", sa.Column("moved_to", sa.Text))
    op.create_table(
        "doubts",
        sa.Column("number_id", NUMBER, sa.ForeignKey("numbers.id"), primary_key=True),
        sa.Column("lists", NUMBER, nullable=False),
        sa.Column("since", NUMBER, nullable=False),
        sa.Column("old_date", NUMBER),
        sa.Column("old_countdown", NUMBER),
        sa.Column("counted", NUMBER),
        sa.Column("counted_at", NUMBER),
        sa.Column("is_unstated", sa.Boolean, nullable=False),
    )


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
