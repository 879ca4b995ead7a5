-- The control plane's database on PostgreSQL: schema.sql tells what is in it. Texts compare by code
-- point, as SQLite's do; a document is JSON as it was written.

CREATE TABLE alembic_version (
    version_num VARCHAR(32) NOT NULL,
    CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);

-- Resources of kinds that are not declared yet. Each declared kind has a table like this one, with
-- the indexes that its lists need; both are made when a server declares it.
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

-- Labels and the members of lists of strings, to be found by.
CREATE TABLE term (
    kind TEXT COLLATE "C" NOT NULL,
    workspace TEXT COLLATE "C" NOT NULL,
    parent TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    field TEXT COLLATE "C" NOT NULL,
    key TEXT COLLATE "C" NOT NULL,  -- of a label, else ''
    value TEXT COLLATE "C" NOT NULL,
    created_at DOUBLE PRECISION NOT NULL,  -- of the resource: the newest are found first
    PRIMARY KEY (kind, workspace, parent, field, key, value, created_at, id)
);
CREATE INDEX term_across ON term (kind, workspace, field, key, value, created_at, id, parent)
WHERE parent <> '';  -- without one, the key of the table is its index

-- Folded words of the searchable fields, and of audited changes.
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

-- Changes whose words are not in "search" yet.
CREATE TABLE words_due (
    number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind TEXT COLLATE "C" NOT NULL,
    workspace TEXT COLLATE "C" NOT NULL,
    parent TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL
);

-- The audit trail: one row for each change, written in the transaction of the change. The sealer
-- then gives it its place in the chain.
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

-- The provenance graph, from the newer to the older; "refersTo" is kept for every reference.
CREATE TABLE edge (
    workspace TEXT COLLATE "C" NOT NULL,
    source TEXT COLLATE "C" NOT NULL,
    relation TEXT COLLATE "C" NOT NULL,
    target_workspace TEXT COLLATE "C" NOT NULL,  -- "" where it belongs to the installation
    target TEXT COLLATE "C" NOT NULL,
    detail TEXT COLLATE "C" NOT NULL,
    event TEXT COLLATE "C" NOT NULL,
    at DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (workspace, source, relation, target_workspace, target, detail, event)
);
CREATE INDEX edge_towards ON edge (target_workspace, target, relation);

-- Answers of requests with an idempotency key; status 0: the first request still runs.
CREATE TABLE idempotency (
    key BYTEA NOT NULL PRIMARY KEY,
    workspace TEXT COLLATE "C" NOT NULL,
    fingerprint BYTEA NOT NULL,
    expires_at DOUBLE PRECISION NOT NULL,
    status INTEGER NOT NULL,
    body BYTEA NOT NULL
);
CREATE INDEX idempotency_expiry ON idempotency (expires_at);

-- What was made ready for each declared kind: indexes, terms and words.
CREATE TABLE declaration (
    kind TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    fingerprint TEXT COLLATE "C" NOT NULL
);

INSERT INTO alembic_version (version_num) VALUES ('0005');
