"""Blind to nothing: what is in doubt of a renewal day, a day that went back, a number that moved."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
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
