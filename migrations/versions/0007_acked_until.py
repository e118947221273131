"""An acknowledgement may run out; what needs nobody is known in the outbox."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("incidents", sa.Column("acked_until", sa.String(27)))
    op.add_column("deliveries", sa.Column("routine", sa.Boolean))


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
