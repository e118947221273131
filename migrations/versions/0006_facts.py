"""What an alert is about, as facts: its words can be made of them again."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("alerts", sa.Column("facts", sa.Text))


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
