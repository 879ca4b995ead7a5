"""API keys and the audit trail."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make ``api_key`` and ``event``. Times are Unix seconds; JSON is text."""
    if op.get_bind().dialect.name == "postgresql":
        return  # begins with the next revision
    op.create_table(
        "api_key",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("workspace", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("hint", sa.Text, nullable=False),  # the last characters of the secret
        sa.Column("digest", sa.LargeBinary, nullable=False),  # HMAC of the secret
        sa.Column("previous_digest", sa.LargeBinary),  # valid until previous_expires_at
        sa.Column("previous_expires_at", sa.Double),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("limits", sa.Text, nullable=False),
        sa.Column("cache_samples", sa.Boolean, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("expires_at", sa.Double),
        sa.Column("rotated_at", sa.Double),
        sa.Column("revoked_at", sa.Double),
    )
    op.create_index("api_key_digest", "api_key", ["digest"], unique=True)
    op.create_index("api_key_page", "api_key", ["workspace", "created_at", "id"])
    op.create_table(
        "event",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("workspace", sa.Text, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("verb", sa.Text, nullable=False),
        sa.Column("resource", sa.Text, nullable=False),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("before", sa.Text),
        sa.Column("after", sa.Text),
    )
    op.create_index("event_page", "event", ["workspace", "at", "id"])
    op.create_index("event_resource", "event", ["workspace", "resource", "at"])
