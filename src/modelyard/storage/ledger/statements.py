"""The SQL that turns lines into rows: parsed and summed by SQLite, without the interpreter's lock.

A field that the line leaves out has its default (``Record`` omits defaults): ``cost`` left out is
0, ``"cost": null`` is an unknown price.
"""

# A batch of lines is one JSON array and one parameter. The subquery must be materialised: else
# SQLite renders an element again for each of its columns (24 µs a record instead of 11).
INSERT = """
INSERT OR IGNORE INTO request (
    id, request_id, at, workspace, key_id, surface, model, provider, target, status, error,
    cache, shared, stream, seconds, first_token, input_tokens, output_tokens, cached_tokens,
    cost, estimated_cost, saved, user_id, attempts, upstream, record
)
WITH line AS MATERIALIZED (SELECT value AS v FROM json_each(?))
SELECT
    json_extract(v, '$.id'),
    json_extract(v, '$.request_id'),
    json_extract(v, '$.at'),
    json_extract(v, '$.workspace'),
    json_extract(v, '$.key_id'),
    json_extract(v, '$.surface'),
    json_extract(v, '$.model'),
    json_extract(v, '$.provider'),
    json_extract(v, '$.target'),
    json_extract(v, '$.status'),
    json_extract(v, '$.error'),
    coalesce(json_extract(v, '$.cache'), 'off'),
    coalesce(json_extract(v, '$.shared'), 0),
    coalesce(json_extract(v, '$.stream'), 0),
    json_extract(v, '$.seconds'),
    json_extract(v, '$.timings.first_token'),
    coalesce(json_extract(v, '$.input_tokens'), 0),
    coalesce(json_extract(v, '$.output_tokens'), 0),
    coalesce(json_extract(v, '$.cached_tokens'), 0),
    iif(json_type(v, '$.cost') IS NULL, 0, json_extract(v, '$.cost')),
    iif(json_type(v, '$.estimated_cost') IS NULL, 0, json_extract(v, '$.estimated_cost')),
    iif(json_type(v, '$.saved') IS NULL, 0, json_extract(v, '$.saved')),
    json_extract(v, '$.user_id'),
    coalesce(json_array_length(v, '$.attempts'), 0),
    json_extract(v, '$.attempts[#-1].duration'),
    v
FROM line
"""

# Sums of the rows that came after ``number``.
#
# ``model`` is what a client wrote: a request that was refused before any model was called is
# summed under '', so that invented names cannot fill the table.
#
# What a provider reports is bounded before it is summed (a billion tokens, 10,000 USD): no sum
# can overflow, which would stop the loading for good. The row keeps the number as it came.
USAGE = """
INSERT INTO usage
SELECT
    workspace,
    CAST(at / 3600 AS INTEGER),
    iif(attempts OR shared OR target IS NOT NULL OR cache NOT IN ('off', 'miss'), model, ''),
    coalesce(target, ''),
    cache,
    shared,
    status < 400,
    count(*),
    sum(seconds),
    coalesce(sum(upstream), 0.0),
    sum(max(0, min(input_tokens, 1000000000))),
    sum(max(0, min(output_tokens, 1000000000))),
    sum(max(0, min(cached_tokens, 1000000000))),
    coalesce(sum(max(0, min(cost, 10000000000000))), 0),
    sum(cost IS NULL),
    sum(iif(cost IS NULL, max(0, min(input_tokens + output_tokens, 1000000000)), 0)),
    coalesce(sum(max(0, min(saved, 10000000000000))), 0)
FROM request NOT INDEXED WHERE number > ? GROUP BY 1, 2, 3, 4, 5, 6, 7
ON CONFLICT DO UPDATE SET
    requests = requests + excluded.requests,
    seconds = seconds + excluded.seconds,
    upstream = upstream + excluded.upstream,
    input_tokens = input_tokens + excluded.input_tokens,
    output_tokens = output_tokens + excluded.output_tokens,
    cached_tokens = cached_tokens + excluded.cached_tokens,
    cost = cost + excluded.cost,
    unpriced_requests = unpriced_requests + excluded.unpriced_requests,
    unpriced_tokens = unpriced_tokens + excluded.unpriced_tokens,
    saved = saved + excluded.saved
"""

# Only a request that failed or was tried again has attempts that failed: the others' are not
# read. A refusal of the request itself, or a client that left, is no fault of the target.
# NOT INDEXED: by number, not along the index whose columns happen to be in the condition.
FAILURES = """
INSERT INTO failure
SELECT
    workspace,
    CAST(at / 3600 AS INTEGER),
    coalesce(json_extract(attempt.value, '$.target'), ''),
    json_extract(attempt.value, '$.outcome'),
    count(*)
FROM request NOT INDEXED, json_each(request.record, '$.attempts') AS attempt
WHERE number > ? AND (attempts > 1 OR status >= 400)
    AND coalesce(json_extract(attempt.value, '$.outcome'), 'ok')
        NOT IN ('ok', 'cancelled', 'closed')
    AND coalesce(json_extract(attempt.value, '$.status'), 0) NOT IN (400, 413, 415, 422)
GROUP BY 1, 2, 3, 4
ON CONFLICT DO UPDATE SET attempts = attempts + excluded.attempts
"""

# PostgreSQL: the rows and their sums in one statement. The sums are made in one order, so that
# two hosts that load at the same time do not wait for each other. LEAST skips what is null.
POSTGRESQL = """
WITH line AS MATERIALIZED (
    SELECT v, place FROM json_array_elements($1::json) WITH ORDINALITY AS one (v, place)
), brought AS (
    INSERT INTO request (
        id, request_id, at, workspace, key_id, surface, model, provider, target, status, error,
        cache, shared, stream, seconds, first_token, input_tokens, output_tokens, cached_tokens,
        cost, estimated_cost, saved, user_id, attempts, upstream, record
    )
    SELECT
        v ->> 'id',
        v ->> 'request_id',
        (v ->> 'at')::double precision,
        v ->> 'workspace',
        v ->> 'key_id',
        v ->> 'surface',
        v ->> 'model',
        v ->> 'provider',
        v ->> 'target',
        (v ->> 'status')::bigint,
        v ->> 'error',
        coalesce(v ->> 'cache', 'off'),
        coalesce((v ->> 'shared')::boolean::int, 0),
        coalesce((v ->> 'stream')::boolean::int, 0),
        (v ->> 'seconds')::double precision,
        (v -> 'timings' ->> 'first_token')::double precision,
        coalesce((v ->> 'input_tokens')::bigint, 0),
        coalesce((v ->> 'output_tokens')::bigint, 0),
        coalesce((v ->> 'cached_tokens')::bigint, 0),
        CASE WHEN v -> 'cost' IS NULL THEN 0 ELSE (v ->> 'cost')::bigint END,
        CASE WHEN v -> 'estimated_cost' IS NULL THEN 0 ELSE (v ->> 'estimated_cost')::bigint END,
        CASE WHEN v -> 'saved' IS NULL THEN 0 ELSE (v ->> 'saved')::bigint END,
        v ->> 'user_id',
        coalesce(json_array_length(v -> 'attempts'), 0),
        (v -> 'attempts' -> -1 ->> 'duration')::double precision,
        v::text
    FROM line ORDER BY place
    ON CONFLICT (id) DO NOTHING
    RETURNING *
), summed AS (
    INSERT INTO usage AS kept
    SELECT
        workspace,
        floor(at / 3600)::bigint,
        CASE WHEN attempts > 0 OR shared = 1 OR target IS NOT NULL OR cache NOT IN ('off', 'miss')
            THEN model ELSE '' END,
        coalesce(target, ''),
        cache,
        shared,
        (status < 400)::int,
        count(*),
        sum(seconds),
        coalesce(sum(upstream), 0.0),
        sum(greatest(0, least(input_tokens, 1000000000)))::bigint,
        sum(greatest(0, least(output_tokens, 1000000000)))::bigint,
        sum(greatest(0, least(cached_tokens, 1000000000)))::bigint,
        coalesce(sum(greatest(0, least(cost, 10000000000000)))
            FILTER (WHERE cost IS NOT NULL), 0)::bigint,
        sum((cost IS NULL)::int),
        sum(CASE WHEN cost IS NULL
            THEN greatest(0, least(input_tokens::numeric + output_tokens, 1000000000))
            ELSE 0 END)::bigint,
        coalesce(sum(greatest(0, least(saved, 10000000000000)))
            FILTER (WHERE saved IS NOT NULL), 0)::bigint
    FROM brought GROUP BY 1, 2, 3, 4, 5, 6, 7 ORDER BY 1, 2, 3, 4, 5, 6, 7
    ON CONFLICT (workspace, hour, model, target, cache, shared, ok) DO UPDATE SET
        requests = kept.requests + excluded.requests,
        seconds = kept.seconds + excluded.seconds,
        upstream = kept.upstream + excluded.upstream,
        input_tokens = kept.input_tokens + excluded.input_tokens,
        output_tokens = kept.output_tokens + excluded.output_tokens,
        cached_tokens = kept.cached_tokens + excluded.cached_tokens,
        cost = kept.cost + excluded.cost,
        unpriced_requests = kept.unpriced_requests + excluded.unpriced_requests,
        unpriced_tokens = kept.unpriced_tokens + excluded.unpriced_tokens,
        saved = kept.saved + excluded.saved
), failed AS (
    INSERT INTO failure AS kept
    SELECT
        workspace,
        floor(at / 3600)::bigint,
        coalesce(one ->> 'target', ''),
        one ->> 'outcome',
        count(*)
    FROM brought, json_array_elements(brought.record::json -> 'attempts') AS one
    WHERE (attempts > 1 OR brought.status >= 400)
        AND coalesce(one ->> 'outcome', 'ok') NOT IN ('ok', 'cancelled', 'closed')
        AND coalesce((one ->> 'status')::bigint, 0) NOT IN (400, 413, 415, 422)
    GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
    ON CONFLICT (workspace, hour, target, reason)
        DO UPDATE SET attempts = kept.attempts + excluded.attempts
)
SELECT (SELECT count(*) FROM line), (SELECT count(*) FROM brought)
"""
