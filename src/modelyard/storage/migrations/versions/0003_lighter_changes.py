"""What a change writes becomes less: tables that are their own index, and words a little later."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

SQLITE = (
    "DROP INDEX term_within",
    "DROP INDEX term_across",
    "ALTER TABLE term RENAME TO term_before",
    """CREATE TABLE term (
        kind TEXT NOT NULL,
        workspace TEXT NOT NULL,
        parent TEXT NOT NULL,
        id TEXT NOT NULL,
        field TEXT NOT NULL,
        key TEXT NOT NULL,
        value TEXT NOT NULL,
        created_at DOUBLE NOT NULL,
        PRIMARY KEY (kind, workspace, parent, field, key, value, created_at, id)
    ) WITHOUT ROWID""",
    "INSERT INTO term SELECT * FROM term_before",
    "DROP TABLE term_before",
    "CREATE INDEX term_across ON term (kind, workspace, field, key, value, created_at, id, parent)",
    "DROP INDEX edge_towards",
    "ALTER TABLE edge RENAME TO edge_before",
    """CREATE TABLE edge (
        workspace TEXT NOT NULL,
        source TEXT NOT NULL,
        relation TEXT NOT NULL,
        target_workspace TEXT NOT NULL,
        target TEXT NOT NULL,
        detail TEXT NOT NULL,
        event TEXT NOT NULL,
        at DOUBLE NOT NULL,
        PRIMARY KEY (workspace, source, relation, target_workspace, target, detail, event)
    ) WITHOUT ROWID""",
    "INSERT INTO edge SELECT * FROM edge_before",
    "DROP TABLE edge_before",
    "CREATE INDEX edge_towards ON edge (target_workspace, target, relation)",
    """CREATE TABLE words_due (
        number INTEGER NOT NULL PRIMARY KEY,
        kind TEXT NOT NULL,
        workspace TEXT NOT NULL,
        parent TEXT NOT NULL,
        id TEXT NOT NULL
    )""",
)
POSTGRESQL = (
    "ALTER TABLE term DROP CONSTRAINT term_pkey",
    """ALTER TABLE term
        ADD PRIMARY KEY (kind, workspace, parent, field, key, value, created_at, id)""",
    "DROP INDEX term_within",
    """CREATE TABLE words_due (
        number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        kind TEXT COLLATE "C" NOT NULL,
        workspace TEXT COLLATE "C" NOT NULL,
        parent TEXT COLLATE "C" NOT NULL,
        id TEXT COLLATE "C" NOT NULL
    )""",
)


def upgrade() -> None:
    """Make the tables anew, with what they hold."""
    statements = POSTGRESQL if op.get_bind().dialect.name == "postgresql" else SQLITE
    for statement in statements:
        op.execute(sa.text(statement))
