-- The ledger's tables on PostgreSQL, in the schema "ledger"; schema.sql tells what is in them.

CREATE TABLE alembic_version (
    version_num VARCHAR(32) NOT NULL,
    CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);

CREATE TABLE request (
    number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- in the order of loading
    id TEXT COLLATE "C" NOT NULL UNIQUE,             -- the record's own: loading is idempotent by it
    request_id TEXT COLLATE "C" NOT NULL,            -- the client's: may occur again
    at DOUBLE PRECISION NOT NULL,
    workspace TEXT COLLATE "C" NOT NULL,
    key_id TEXT COLLATE "C" NOT NULL,
    surface TEXT COLLATE "C" NOT NULL,
    model TEXT COLLATE "C" NOT NULL,
    provider TEXT COLLATE "C",
    target TEXT COLLATE "C",
    status BIGINT NOT NULL,
    error TEXT COLLATE "C",
    cache TEXT COLLATE "C" NOT NULL,                 -- the level that answered, else 'miss' or 'off'
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
    attempts BIGINT NOT NULL,           -- how many
    upstream DOUBLE PRECISION,                       -- duration of the last attempt
    record TEXT COLLATE "C" NOT NULL                 -- the whole record, as the JSON line that was written
);

-- A page of the log, newest first. What clients write may be too long for an index here.
CREATE INDEX request_page ON request (workspace, at, number);

-- Errors are rare: found without reading what succeeded.
CREATE INDEX request_failed ON request (workspace, at, number, error) WHERE error IS NOT NULL;

CREATE INDEX request_by_request_id ON request (request_id);

-- Hourly sums of requests, kept in the same transaction as the rows they count.
CREATE TABLE usage (
    workspace TEXT COLLATE "C" NOT NULL,
    hour BIGINT NOT NULL,               -- Unix seconds / 3600
    model TEXT COLLATE "C" NOT NULL,                 -- '' for what was refused before a model was called
    target TEXT COLLATE "C" NOT NULL,                -- 'provider/model'; '' when nobody answered
    cache TEXT COLLATE "C" NOT NULL,
    shared BIGINT NOT NULL,
    ok BIGINT NOT NULL,                 -- 1: answered with a status below 400
    requests BIGINT NOT NULL,
    seconds DOUBLE PRECISION NOT NULL,
    upstream DOUBLE PRECISION NOT NULL,
    input_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    cached_tokens BIGINT NOT NULL,
    cost BIGINT NOT NULL,               -- of the priced requests
    unpriced_requests BIGINT NOT NULL,
    unpriced_tokens BIGINT NOT NULL,
    saved BIGINT NOT NULL,
    PRIMARY KEY (workspace, hour, model, target, cache, shared, ok)
);

-- Hourly counts of upstream attempts that failed by the target's fault, answered elsewhere or not.
CREATE TABLE failure (
    workspace TEXT COLLATE "C" NOT NULL,
    hour BIGINT NOT NULL,
    target TEXT COLLATE "C" NOT NULL,
    reason TEXT COLLATE "C" NOT NULL,
    attempts BIGINT NOT NULL,
    PRIMARY KEY (workspace, hour, target, reason)
);

-- How far each file was loaded: changed in the same transaction as the records it brought.
CREATE TABLE ledger_file (
    name TEXT COLLATE "C" PRIMARY KEY,
    position BIGINT NOT NULL,           -- bytes
    damaged BIGINT NOT NULL             -- lines that are no record
);

INSERT INTO alembic_version (version_num) VALUES ('0001');
