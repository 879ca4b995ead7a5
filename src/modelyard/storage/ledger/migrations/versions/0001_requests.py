"""Requests, their hourly sums, and how far files were loaded."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

POSTGRESQL = """
CREATE TABLE request (
    number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id TEXT COLLATE "C" NOT NULL UNIQUE,
    request_id TEXT COLLATE "C" NOT NULL,
    at DOUBLE PRECISION NOT NULL,
    workspace TEXT COLLATE "C" NOT NULL,
    key_id TEXT COLLATE "C" NOT NULL,
    surface TEXT COLLATE "C" NOT NULL,
    model TEXT COLLATE "C" NOT NULL,
    provider TEXT COLLATE "C",
    target TEXT COLLATE "C",
    status BIGINT NOT NULL,
    error TEXT COLLATE "C",
    cache TEXT COLLATE "C" NOT NULL,
    shared BIGINT NOT NULL,
    stream BIGINT NOT NULL,
    seconds DOUBLE PRECISION NOT NULL,
    first_token DOUBLE PRECISION,
    input_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    cached_tokens BIGINT NOT NULL,
    cost BIGINT,
    estimated_cost BIGINT,
    saved BIGINT,
    user_id TEXT COLLATE "C",
    attempts BIGINT NOT NULL,
    upstream DOUBLE PRECISION,
    record TEXT COLLATE "C" NOT NULL
);

CREATE INDEX request_page ON request (workspace, at, number);

CREATE INDEX request_failed ON request (workspace, at, number, error) WHERE error IS NOT NULL;

CREATE INDEX request_by_request_id ON request (request_id);

CREATE TABLE usage (
    workspace TEXT COLLATE "C" NOT NULL,
    hour BIGINT NOT NULL,
    model TEXT COLLATE "C" NOT NULL,
    target TEXT COLLATE "C" NOT NULL,
    cache TEXT COLLATE "C" NOT NULL,
    shared BIGINT NOT NULL,
    ok BIGINT NOT NULL,
    requests BIGINT NOT NULL,
    seconds DOUBLE PRECISION NOT NULL,
    upstream DOUBLE PRECISION NOT NULL,
    input_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    cached_tokens BIGINT NOT NULL,
    cost BIGINT NOT NULL,
    unpriced_requests BIGINT NOT NULL,
    unpriced_tokens BIGINT NOT NULL,
    saved BIGINT NOT NULL,
    PRIMARY KEY (workspace, hour, model, target, cache, shared, ok)
);

CREATE TABLE failure (
    workspace TEXT COLLATE "C" NOT NULL,
    hour BIGINT NOT NULL,
    target TEXT COLLATE "C" NOT NULL,
    reason TEXT COLLATE "C" NOT NULL,
    attempts BIGINT NOT NULL,
    PRIMARY KEY (workspace, hour, target, reason)
);

CREATE TABLE ledger_file (
    name TEXT COLLATE "C" PRIMARY KEY,
    position BIGINT NOT NULL,
    damaged BIGINT NOT NULL
);
"""


def upgrade() -> None:
    """Make ``request``, ``usage``, ``failure`` and ``ledger_file``."""
    if op.get_bind().dialect.name == "postgresql":
        for statement in POSTGRESQL.split(";\n"):
            op.get_bind().exec_driver_sql(statement)
        return
    _request()
    _usage()
    _failure()
    op.create_table(
        "ledger_file",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("position", sa.Integer, nullable=False),  # bytes
        sa.Column("damaged", sa.Integer, nullable=False),  # lines that are no record
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )


def _request() -> None:
    """Money is nano-dollars; ``upstream`` and ``first_token`` are milliseconds."""
    op.create_table(
        "request",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("at", sa.REAL, nullable=False),
        sa.Column("workspace", sa.Text, nullable=False),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("surface", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("provider", sa.Text),
        sa.Column("target", sa.Text),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("cache", sa.Text, nullable=False),
        sa.Column("shared", sa.Integer, nullable=False),
        sa.Column("stream", sa.Integer, nullable=False),
        sa.Column("seconds", sa.REAL, nullable=False),
        sa.Column("first_token", sa.REAL),
        sa.Column("input_tokens", sa.Integer, nullable=False),
        sa.Column("output_tokens", sa.Integer, nullable=False),
        sa.Column("cached_tokens", sa.Integer, nullable=False),
        sa.Column("cost", sa.Integer),
        sa.Column("estimated_cost", sa.Integer),
        sa.Column("saved", sa.Integer),
        sa.Column("user_id", sa.Text),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("upstream", sa.REAL),
        sa.Column("record", sa.Text, nullable=False),
        sqlite_strict=True,
    )
    page = ["workspace", "at", "number", "key_id", "model", "provider", "status", "error"]
    op.create_index("request_page", "request", [*page, "cache", "cost", "stream", "user_id"])
    failed = sa.text("error IS NOT NULL")
    columns = ["workspace", "at", "number", "error"]
    op.create_index("request_failed", "request", columns, sqlite_where=failed)
    op.create_index("request_by_request_id", "request", ["request_id"])


def _usage() -> None:
    """Sums by hour (Unix seconds / 3600)."""
    op.create_table(
        "usage",
        sa.Column("workspace", sa.Text, primary_key=True),
        sa.Column("hour", sa.Integer, primary_key=True),
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("target", sa.Text, primary_key=True),
        sa.Column("cache", sa.Text, primary_key=True),
        sa.Column("shared", sa.Integer, primary_key=True),
        sa.Column("ok", sa.Integer, primary_key=True),
        sa.Column("requests", sa.Integer, nullable=False),
        sa.Column("seconds", sa.REAL, nullable=False),
        sa.Column("upstream", sa.REAL, nullable=False),
        sa.Column("input_tokens", sa.Integer, nullable=False),
        sa.Column("output_tokens", sa.Integer, nullable=False),
        sa.Column("cached_tokens", sa.Integer, nullable=False),
        sa.Column("cost", sa.Integer, nullable=False),
        sa.Column("unpriced_requests", sa.Integer, nullable=False),
        sa.Column("unpriced_tokens", sa.Integer, nullable=False),
        sa.Column("saved", sa.Integer, nullable=False),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )


def _failure() -> None:
    """Upstream attempts that failed by the target's fault, by hour."""
    op.create_table(
        "failure",
        sa.Column("workspace", sa.Text, primary_key=True),
        sa.Column("hour", sa.Integer, primary_key=True),
        sa.Column("target", sa.Text, primary_key=True),
        sa.Column("reason", sa.Text, primary_key=True),
        sa.Column("attempts", sa.Integer, nullable=False),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
