-- The control plane's database, as the newest revision in migrations/versions leaves it.
-- A test compares the two. Times are Unix seconds; scopes, limits, before and after are JSON.

CREATE TABLE alembic_version (
    version_num VARCHAR(32) NOT NULL,
    CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);

CREATE TABLE api_key (
    id TEXT NOT NULL PRIMARY KEY,
    workspace TEXT NOT NULL,
    name TEXT NOT NULL,
    hint TEXT NOT NULL,  -- the last characters of the secret, to tell keys apart
    digest BLOB NOT NULL,  -- HMAC-SHA256 of the secret; the secret itself is kept nowhere
    previous_digest BLOB,  -- the secret before the last rotation, valid until previous_expires_at
    previous_expires_at DOUBLE,
    scopes TEXT NOT NULL,
    limits TEXT NOT NULL,
    cache_samples BOOLEAN NOT NULL,
    created_at DOUBLE NOT NULL,
    created_by TEXT NOT NULL,
    expires_at DOUBLE,
    rotated_at DOUBLE,
    revoked_at DOUBLE
);
CREATE UNIQUE INDEX api_key_digest ON api_key (digest);
CREATE INDEX api_key_page ON api_key (workspace, created_at, id);

-- The audit trail: one row for each change, written in the transaction of the change.
CREATE TABLE event (
    id TEXT NOT NULL PRIMARY KEY,
    at DOUBLE NOT NULL,
    workspace TEXT NOT NULL,
    actor TEXT NOT NULL,
    verb TEXT NOT NULL,
    resource TEXT NOT NULL,
    request_id TEXT NOT NULL,
    before TEXT,
    after TEXT
);
CREATE INDEX event_page ON event (workspace, at, id);
CREATE INDEX event_resource ON event (workspace, resource, at);

INSERT INTO alembic_version (version_num) VALUES ('0001');
