"""The index of terms across parents holds what has a parent: the rest is found by the key."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_INDEX = (
    "CREATE INDEX {} ON term (kind, workspace, field, key, value, created_at, id, parent) "
    "WHERE parent <> ''"
)
SQLITE = ("DROP INDEX term_across", _INDEX.format("term_across"))
POSTGRESQL = (  # others read while it is made
    _INDEX.format("term_across_parents"),
    "DROP INDEX term_across",
    "ALTER INDEX term_across_parents RENAME TO term_across",
)


def upgrade() -> None:
    """Make the index anew: few resources with labels lie below others."""
    statements = POSTGRESQL if op.get_bind().dialect.name == "postgresql" else SQLITE
    for statement in statements:
        op.execute(sa.text(statement))
