-- The control plane's database, as the newest revision in migrations/versions leaves it.
-- A test compares the two. Times are Unix seconds; labels, spec, before and after are JSON.
-- schema.postgresql.sql is the same for PostgreSQL.

CREATE TABLE alembic_version (
    version_num VARCHAR(32) NOT NULL,
    CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);

-- Resources of kinds that are not declared yet. Each declared kind has a table like this one, with
-- the indexes that its lists need; both are made when a server declares it.
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

-- Labels and the members of lists of strings, to be found by.
CREATE TABLE term (
    kind TEXT NOT NULL,
    workspace TEXT NOT NULL,
    parent TEXT NOT NULL,
    id TEXT NOT NULL,
    field TEXT NOT NULL,
    key TEXT NOT NULL,  -- of a label, else ''
    value TEXT NOT NULL,
    created_at DOUBLE NOT NULL,  -- of the resource: the newest are found first
    PRIMARY KEY (kind, workspace, parent, field, key, value, created_at, id)
) WITHOUT ROWID;
CREATE INDEX term_across ON term (kind, workspace, field, key, value, created_at, id, parent)
WHERE parent <> '';  -- without one, the key of the table is its index

-- Folded words of the searchable fields, and of audited changes.
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

-- Changes whose words are not in "search" yet.
CREATE TABLE words_due (
    number INTEGER NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    workspace TEXT NOT NULL,
    parent TEXT NOT NULL,
    id TEXT NOT NULL
);

-- The audit trail: one row for each change, written in the transaction of the change. The sealer
-- then gives it its place in the chain.
CREATE TABLE event (
    id TEXT NOT NULL PRIMARY KEY,
    at DOUBLE NOT NULL,
    workspace TEXT NOT NULL,
    actor TEXT NOT NULL,
    verb TEXT NOT NULL,
    resource TEXT NOT NULL,
    request_id TEXT NOT NULL,
    before TEXT,
    after TEXT,
    kind TEXT DEFAULT '' NOT NULL,
    sequence BIGINT,
    digest BLOB
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
    workspace TEXT NOT NULL,
    source TEXT NOT NULL,
    relation TEXT NOT NULL,
    target_workspace TEXT NOT NULL,  -- "" where it belongs to the installation
    target TEXT NOT NULL,
    detail TEXT NOT NULL,
    event TEXT NOT NULL,
    at DOUBLE NOT NULL,
    PRIMARY KEY (workspace, source, relation, target_workspace, target, detail, event)
) WITHOUT ROWID;
CREATE INDEX edge_towards ON edge (target_workspace, target, relation);

-- Answers of requests with an idempotency key; status 0: the first request still runs.
CREATE TABLE idempotency (
    key BLOB NOT NULL PRIMARY KEY,
    workspace TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    expires_at DOUBLE NOT NULL,
    status INTEGER NOT NULL,
    body BLOB NOT NULL
);
CREATE INDEX idempotency_expiry ON idempotency (expires_at);

-- What was made ready for each declared kind: indexes, terms and words.
CREATE TABLE declaration (
    kind TEXT NOT NULL PRIMARY KEY,
    fingerprint TEXT NOT NULL
);

INSERT INTO alembic_version (version_num) VALUES ('0005');
