"""What pages, metrics and calendars ask for: facts of each number as columns; the further endpoints' last answers."""

import json
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

INSTANT = sa.String(27)
CHUNK = 5000  # entries that are in memory at once


def upgrade() -> None:
    op.add_column("numbers", sa.Column("status", sa.Text, nullable=False, server_default=""))
    for name in ("cost", "currency", "country", "type"):
        op.add_column("numbers", sa.Column(name, sa.Text))
    connection = op.get_bind()
    for facts in _facts(connection):
        connection.execute(
            sa.text(
                "UPDATE numbers SET status = :status, cost = :cost, currency = :currency, country = :country,"
                " type = :type WHERE id = :id"
            ),
            facts,
        )
    op.create_index("numbers_by_renewal", "numbers", ["renews_on"])
    op.create_index("numbers_by_status", "numbers", ["status"])
    op.create_table(
        "readings",
        sa.Column("environment_id", sa.Integer, sa.ForeignKey("environments.id"), primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("read_at", INSTANT, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("content", sa.Text),
    )


def _facts(connection: sa.Connection) -> Iterator[list[dict[str, Any]]]:
    last = 0
    while True:
        rows = connection.execute(
            sa.text("SELECT number_id, entry FROM entries WHERE number_id > :last ORDER BY number_id LIMIT :chunk"),
            {"last": last, "chunk": CHUNK},
        ).all()
        if not rows:
            return
        yield [{"id": number_id, **_read(entry)} for number_id, entry in rows]
        last = rows[-1][0]


def _read(entry: str) -> dict[str, str | None]:
    known = json.loads(entry, parse_float=Decimal, parse_int=Decimal)
    cost = known.get("monthly_renewal_cost")
    cost = known.get("current_price") if cost is None else cost
    return {
        "status": _text(known.get("current_status")).strip().lower(),
        "cost": _amount(cost),
        "currency": _text(known.get("currency")) or None,
        "country": _text(known.get("country_code")) or None,
        "type": _text(known.get("type")) or None,
    }


def _amount(cost: object) -> str | None:
    try:
        return None if cost is None else f"{Decimal(str(cost)):f}"
    except InvalidOperation:
        return None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
