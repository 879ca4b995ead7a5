"""Resources, what finds them, the sealed audit trail, and provenance. PostgreSQL begins here."""

import json
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

SQLITE = """
CREATE TABLE resource (
    kind TEXT NOT NULL,
    workspace TEXT NOT NULL,
    parent TEXT NOT NULL,
    id TEXT NOT NULL,
    uid TEXT NOT NULL,
    revision BIGINT NOT NULL,
    created_at DOUBLE NOT NULL,
    updated_at DOUBLE NOT NULL,
    created_by TEXT NOT NULL,
    updated_by TEXT NOT NULL,
    deleted_at DOUBLE,
    purge_at DOUBLE,
    labels TEXT NOT NULL,
    spec TEXT NOT NULL,
    PRIMARY KEY (workspace, parent, id, kind)
);
CREATE INDEX resource_purge ON resource (purge_at) WHERE purge_at IS NOT NULL;

CREATE TABLE term (
    kind TEXT NOT NULL,
    workspace TEXT NOT NULL,
    parent TEXT NOT NULL,
    id TEXT NOT NULL,
    field TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    created_at DOUBLE NOT NULL,
    PRIMARY KEY (kind, workspace, parent, id, field, key, value)
);
CREATE INDEX term_within ON term (kind, workspace, parent, field, key, value, created_at, id);
CREATE INDEX term_across ON term (kind, workspace, field, key, value, created_at, id, parent);

CREATE TABLE search (
    number INTEGER NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    workspace TEXT NOT NULL,
    parent TEXT NOT NULL,
    id TEXT NOT NULL,
    words TEXT NOT NULL
);
CREATE UNIQUE INDEX search_place ON search (kind, workspace, parent, id);
CREATE VIRTUAL TABLE search_words USING fts5(
    words, content = 'search', content_rowid = 'number', tokenize = 'ascii', detail = 'none'
);
CREATE TRIGGER search_added AFTER INSERT ON search BEGIN
    INSERT INTO search_words (rowid, words) VALUES (new.number, new.words);
END;
CREATE TRIGGER search_gone AFTER DELETE ON search BEGIN
    INSERT INTO search_words (search_words, rowid, words)
    VALUES ('delete', old.number, old.words);
END;
CREATE TRIGGER search_changed AFTER UPDATE ON search BEGIN
    INSERT INTO search_words (search_words, rowid, words)
    VALUES ('delete', old.number, old.words);
    INSERT INTO search_words (rowid, words) VALUES (new.number, new.words);
END;

ALTER TABLE event ADD COLUMN kind TEXT DEFAULT '' NOT NULL;
ALTER TABLE event ADD COLUMN sequence BIGINT;
ALTER TABLE event ADD COLUMN digest BLOB;
DROP INDEX event_page;
DROP INDEX event_resource;
CREATE UNIQUE INDEX event_sequence ON event (sequence) WHERE sequence IS NOT NULL;
CREATE INDEX event_unsealed ON event (at, id) WHERE sequence IS NULL;
CREATE INDEX event_page ON event (workspace, sequence) WHERE sequence IS NOT NULL;
CREATE INDEX event_time ON event (workspace, at) WHERE sequence IS NOT NULL;
CREATE INDEX event_resource ON event (workspace, resource, sequence) WHERE sequence IS NOT NULL;
CREATE INDEX event_kind ON event (workspace, kind, sequence) WHERE sequence IS NOT NULL;
CREATE INDEX event_actor ON event (workspace, actor, sequence) WHERE sequence IS NOT NULL;
CREATE INDEX event_verb ON event (workspace, verb, sequence) WHERE sequence IS NOT NULL;
CREATE INDEX event_request ON event (workspace, request_id, sequence) WHERE sequence IS NOT NULL;

CREATE TABLE edge (
    workspace TEXT NOT NULL,
    source TEXT NOT NULL,
    relation TEXT NOT NULL,
    target_workspace TEXT NOT NULL,
    target TEXT NOT NULL,
    detail TEXT NOT NULL,
    event TEXT NOT NULL,
    at DOUBLE NOT NULL,
    PRIMARY KEY (workspace, source, relation, target_workspace, target, detail, event)
);
CREATE INDEX edge_towards ON edge (target_workspace, target, relation);

CREATE TABLE idempotency (
    key BLOB NOT NULL PRIMARY KEY,
    workspace TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    expires_at DOUBLE NOT NULL,
    status INTEGER NOT NULL,
    body BLOB NOT NULL
);
CREATE INDEX idempotency_expiry ON idempotency (expires_at);

CREATE TABLE declaration (
    kind TEXT NOT NULL PRIMARY KEY,
    fingerprint TEXT NOT NULL
);
"""

POSTGRESQL = """
CREATE TABLE resource (
    kind TEXT COLLATE "C" NOT NULL,
    workspace TEXT COLLATE "C" NOT NULL,
    parent TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    uid TEXT COLLATE "C" NOT NULL,
    revision BIGINT NOT NULL,
    created_at DOUBLE PRECISION NOT NULL,
    updated_at DOUBLE PRECISION NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL,
    updated_by TEXT COLLATE "C" NOT NULL,
    deleted_at DOUBLE PRECISION,
    purge_at DOUBLE PRECISION,
    labels JSON NOT NULL,
    spec JSON NOT NULL,
    PRIMARY KEY (workspace, parent, id, kind)
);
CREATE INDEX resource_purge ON resource (purge_at) WHERE purge_at IS NOT NULL;

CREATE TABLE term (
    kind TEXT COLLATE "C" NOT NULL,
    workspace TEXT COLLATE "C" NOT NULL,
    parent TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    field TEXT COLLATE "C" NOT NULL,
    key TEXT COLLATE "C" NOT NULL,
    value TEXT COLLATE "C" NOT NULL,
    created_at DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (kind, workspace, parent, id, field, key, value)
);
CREATE INDEX term_within ON term (kind, workspace, parent, field, key, value, created_at, id);
CREATE INDEX term_across ON term (kind, workspace, field, key, value, created_at, id, parent);

CREATE TABLE search (
    number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind TEXT COLLATE "C" NOT NULL,
    workspace TEXT COLLATE "C" NOT NULL,
    parent TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    words TEXT COLLATE "C" NOT NULL,
    vector TSVECTOR GENERATED ALWAYS AS (array_to_tsvector(string_to_array(words, ' '))) STORED
);
CREATE UNIQUE INDEX search_place ON search (kind, workspace, parent, id);
CREATE INDEX search_words ON search USING gin (vector);

CREATE TABLE event (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    at DOUBLE PRECISION NOT NULL,
    workspace TEXT COLLATE "C" NOT NULL,
    actor TEXT COLLATE "C" NOT NULL,
    verb TEXT COLLATE "C" NOT NULL,
    resource TEXT COLLATE "C" NOT NULL,
    request_id TEXT COLLATE "C" NOT NULL,
    before JSON,
    after JSON,
    kind TEXT COLLATE "C" DEFAULT '' NOT NULL,
    sequence BIGINT,
    digest BYTEA
);
CREATE UNIQUE INDEX event_sequence ON event (sequence) WHERE sequence IS NOT NULL;
CREATE INDEX event_unsealed ON event (at, id) WHERE sequence IS NULL;
CREATE INDEX event_page ON event (workspace, sequence) WHERE sequence IS NOT NULL;
CREATE INDEX event_time ON event (workspace, at) WHERE sequence IS NOT NULL;
CREATE INDEX event_resource ON event (workspace, resource, sequence) WHERE sequence IS NOT NULL;
CREATE INDEX event_kind ON event (workspace, kind, sequence) WHERE sequence IS NOT NULL;
CREATE INDEX event_actor ON event (workspace, actor, sequence) WHERE sequence IS NOT NULL;
CREATE INDEX event_verb ON event (workspace, verb, sequence) WHERE sequence IS NOT NULL;
CREATE INDEX event_request ON event (workspace, request_id, sequence) WHERE sequence IS NOT NULL;

CREATE TABLE edge (
    workspace TEXT COLLATE "C" NOT NULL,
    source TEXT COLLATE "C" NOT NULL,
    relation TEXT COLLATE "C" NOT NULL,
    target_workspace TEXT COLLATE "C" NOT NULL,
    target TEXT COLLATE "C" NOT NULL,
    detail TEXT COLLATE "C" NOT NULL,
    event TEXT COLLATE "C" NOT NULL,
    at DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (workspace, source, relation, target_workspace, target, detail, event)
);
CREATE INDEX edge_towards ON edge (target_workspace, target, relation);

CREATE TABLE idempotency (
    key BYTEA NOT NULL PRIMARY KEY,
    workspace TEXT COLLATE "C" NOT NULL,
    fingerprint BYTEA NOT NULL,
    expires_at DOUBLE PRECISION NOT NULL,
    status INTEGER NOT NULL,
    body BYTEA NOT NULL
);
CREATE INDEX idempotency_expiry ON idempotency (expires_at);

CREATE TABLE declaration (
    kind TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    fingerprint TEXT COLLATE "C" NOT NULL
);
"""


def upgrade() -> None:
    """Make the tables; the API keys become resources."""
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":
        for statement in POSTGRESQL.split(";\n"):
            connection.exec_driver_sql(statement)
        return
    for statement in _statements(SQLITE):
        connection.exec_driver_sql(statement)
    for key in connection.execute(sa.text("SELECT * FROM api_key")).mappings():
        connection.execute(sa.text(RESOURCE), _resource(dict(key)))
    op.drop_table("api_key")


def _statements(sql: str) -> list[str]:
    """The statements of a script; a trigger holds semicolons of its own."""
    found, part = [], ""
    for line in sql.splitlines(keepends=True):
        part += line
        ended = line.startswith("END;") if "CREATE TRIGGER" in part else line.endswith(";\n")
        if ended:
            found.append(part)
            part = ""
    return found


RESOURCE = """
INSERT INTO resource VALUES (
    'auth/keys', :workspace, '', :id, :id, 1, :created_at, :updated_at, :created_by, :created_by,
    :revoked_at, NULL, '{}', :spec
)
"""


def _resource(key: dict[str, Any]) -> dict[str, Any]:
    times = {
        name: _time(key[name])
        for name in ("previous_expires_at", "expires_at", "rotated_at", "revoked_at")
    }
    spec = {
        "name": key["name"],
        "hint": key["hint"],
        "digest": key["digest"].hex(),
        "previous_digest": key["previous_digest"] and key["previous_digest"].hex(),
        "scopes": json.loads(key["scopes"]),
        "limits": json.loads(key["limits"]),
        "cache_samples": bool(key["cache_samples"]),
        **times,
    }
    changed = (key["created_at"], key["rotated_at"] or 0, key["revoked_at"] or 0)
    return key | {"updated_at": max(changed), "spec": json.dumps(spec, ensure_ascii=False)}


def _time(at: float | None) -> str | None:
    if at is None:
        return None
    moment = datetime.fromtimestamp(at, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
