-- The ledger's own database, as the newest revision in migrations/versions leaves it (a test
-- compares the two). It shares no lock with the control plane. Times are Unix seconds, money is
-- nano-dollars (NULL: the price was unknown), upstream and first_token are milliseconds.

CREATE TABLE alembic_version (
    version_num VARCHAR(32) NOT NULL,
    CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);

CREATE TABLE request (
    number INTEGER NOT NULL PRIMARY KEY, -- in the order of loading
    id TEXT NOT NULL UNIQUE,             -- the record's own: loading is idempotent by it
    request_id TEXT NOT NULL,            -- the client's: may occur again
    at REAL NOT NULL,
    workspace TEXT NOT NULL,
    key_id TEXT NOT NULL,
    surface TEXT NOT NULL,
    model TEXT NOT NULL,
    provider TEXT,
    target TEXT,
    status INTEGER NOT NULL,
    error TEXT,
    cache TEXT NOT NULL,                 -- the level that answered, else 'miss' or 'off'
    shared INTEGER NOT NULL,
    stream INTEGER NOT NULL,
    seconds REAL NOT NULL,
    first_token REAL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cached_tokens INTEGER NOT NULL,
    cost INTEGER,
    estimated_cost INTEGER,
    saved INTEGER,
    user_id TEXT,
    attempts INTEGER NOT NULL,           -- how many
    upstream REAL,                       -- duration of the last attempt
    record TEXT NOT NULL                 -- the whole record, as the JSON line that was written
) STRICT;

-- A page of the log, newest first: filters are tested in the index, before the row is fetched.
CREATE INDEX request_page ON request (
    workspace, at, number, key_id, model, provider, status, error, cache, cost, stream, user_id
);

-- Errors are rare: found without reading what succeeded.
CREATE INDEX request_failed ON request (workspace, at, number, error) WHERE error IS NOT NULL;

CREATE INDEX request_by_request_id ON request (request_id);

-- Hourly sums of requests, kept in the same transaction as the rows they count.
CREATE TABLE usage (
    workspace TEXT NOT NULL,
    hour INTEGER NOT NULL,               -- Unix seconds / 3600
    model TEXT NOT NULL,                 -- '' for what was refused before a model was called
    target TEXT NOT NULL,                -- 'provider/model'; '' when nobody answered
    cache TEXT NOT NULL,
    shared INTEGER NOT NULL,
    ok INTEGER NOT NULL,                 -- 1: answered with a status below 400
    requests INTEGER NOT NULL,
    seconds REAL NOT NULL,
    upstream REAL NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cached_tokens INTEGER NOT NULL,
    cost INTEGER NOT NULL,               -- of the priced requests
    unpriced_requests INTEGER NOT NULL,
    unpriced_tokens INTEGER NOT NULL,
    saved INTEGER NOT NULL,
    PRIMARY KEY (workspace, hour, model, target, cache, shared, ok)
) STRICT, WITHOUT ROWID;

-- Hourly counts of upstream attempts that failed by the target's fault, answered elsewhere or not.
CREATE TABLE failure (
    workspace TEXT NOT NULL,
    hour INTEGER NOT NULL,
    target TEXT NOT NULL,
    reason TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    PRIMARY KEY (workspace, hour, target, reason)
) STRICT, WITHOUT ROWID;

-- How far each file was loaded: changed in the same transaction as the records it brought.
CREATE TABLE ledger_file (
    name TEXT PRIMARY KEY,
    position INTEGER NOT NULL,           -- bytes
    damaged INTEGER NOT NULL             -- lines that are no record
) STRICT, WITHOUT ROWID;

INSERT INTO alembic_version (version_num) VALUES ('0001');
