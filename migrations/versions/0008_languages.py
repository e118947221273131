"""What is added to an alert's facts, and why nobody is told of it, are kept so that any language can say them."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("alerts", sa.Column("around", sa.Text))
    op.add_column("alerts", sa.Column("reason", sa.Text))
    op.add_column("incidents", sa.Column("reason", sa.Text))


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
