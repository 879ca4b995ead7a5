"""The index of terms across parents holds what has a parent: the rest is found by the key."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_STATEMENTS = (
    "DROP INDEX term_across",
    "CREATE INDEX term_across ON term (kind, workspace, field, key, value, created_at, id, parent) "
    "WHERE parent <> ''",
)


def upgrade() -> None:
    """Make the index anew: few resources with labels lie below others."""
    for statement in _STATEMENTS:
        op.execute(sa.text(statement))
