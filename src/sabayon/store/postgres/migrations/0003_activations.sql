-- One partition a day of `start` (epoch ms, UTC), named activations_YYYYMMDD, so that a day is dropped and not deleted.
CREATE TABLE activations (
    id TEXT COLLATE "C" NOT NULL,
    namespace TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    start BIGINT NOT NULL,
    record BYTEA NOT NULL,
    summary BYTEA NOT NULL
) PARTITION BY RANGE (start);
CREATE INDEX activations_by_start ON activations (namespace, start DESC);
CREATE INDEX activations_by_name ON activations (namespace, name, start DESC);

-- How many records start in the `width` ms from `at`; the name '' stands for all of the namespace.
CREATE TABLE activation_counts (
    namespace TEXT COLLATE "C",
    name TEXT COLLATE "C",
    width INTEGER,
    at BIGINT,
    number BIGINT NOT NULL,
    PRIMARY KEY (namespace, name, width, at)
) WITH (fillfactor = 70);
CREATE INDEX activation_counts_by_time ON activation_counts (at);

-- Records that started before their namespace was deleted are not kept any more.
CREATE TABLE deletions (namespace TEXT COLLATE "C" PRIMARY KEY, at BIGINT NOT NULL);

CREATE FUNCTION partition_of(day BIGINT) RETURNS TEXT LANGUAGE sql IMMUTABLE AS $$
    SELECT 'activations_' || to_char(to_timestamp(day * 86400) AT TIME ZONE 'UTC', 'YYYYMMDD')
$$;

-- Held until the end of a transaction that adds records or partitions: of one id the first record stays, also where
-- two processes have one each and midnight is between them, and nobody updates counts in another order.
CREATE FUNCTION lock_records() RETURNS void LANGUAGE sql AS $$
    SELECT pg_advisory_xact_lock(1398891897, 1)
$$;

-- Attaching does not stop those who read or write other days, which making it as a partition would.
-- To be called with the records locked.
CREATE FUNCTION ensure_day(day BIGINT) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    name TEXT := partition_of(day);
    since BIGINT := day * 86400000;
BEGIN
    IF to_regclass(name) IS NULL THEN
        EXECUTE format('CREATE TABLE %I (LIKE activations INCLUDING ALL)', name);
        EXECUTE format('CREATE UNIQUE INDEX ON %I (id)', name);
        EXECUTE format('ALTER TABLE activations ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)', name, since, since + 86400000);
    END IF;
END
$$;

-- Keeps records, the first one of each id, counts them, and settles the journal; all in the caller's transaction.
CREATE FUNCTION put_records(
    ids TEXT[], namespaces TEXT[], names TEXT[], starts BIGINT[], records BYTEA[], summaries BYTEA[], settled TEXT[]
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    known TEXT[];
BEGIN
    -- On disk within three times the server's wal_writer_delay, which is 200 ms, and before whatever is committed later.
    -- What settles the journal is waited for: a server that crashed would bring the entry back, and whoever has it in
    -- hand believes that it is over.
    IF cardinality(settled) = 0 THEN
        PERFORM set_config('synchronous_commit', 'off', true);
    END IF;
    PERFORM lock_records();
    PERFORM ensure_day(day) FROM (SELECT DISTINCT floor(start / 86400000.0)::BIGINT AS day FROM unnest(starts) AS start) AS days;
    known := ARRAY(SELECT activations.id FROM activations WHERE activations.id = ANY (ids));
    WITH kept AS (
        INSERT INTO activations (id, namespace, name, start, record, summary)
        SELECT DISTINCT ON (given.id) given.id, given.namespace, given.name, given.start, given.record, given.summary
        FROM unnest(ids, namespaces, names, starts, records, summaries)
            WITH ORDINALITY AS given (id, namespace, name, start, record, summary, place)
        LEFT JOIN deletions ON deletions.namespace = given.namespace
        WHERE given.id <> ALL (known) AND given.start > coalesce(deletions.at, -1)
        ORDER BY given.id, given.place
        RETURNING activations.namespace, activations.name, activations.start
    )
    INSERT INTO activation_counts AS counts (namespace, name, width, at, number)
    SELECT kept.namespace, counted.name, spans.width, floor(kept.start / spans.width::NUMERIC)::BIGINT * spans.width, count(*)
    FROM kept
    CROSS JOIN LATERAL (VALUES (kept.name), ('')) AS counted (name)
    CROSS JOIN (VALUES (60000), (3600000)) AS spans (width)
    GROUP BY 1, 2, 3, 4
    ON CONFLICT (namespace, name, width, at) DO UPDATE SET number = counts.number + excluded.number;
    PERFORM settle(settled);
END
$$;

-- Makes the partitions of `days` days from `first` on.
CREATE FUNCTION ensure_days(first BIGINT, days INTEGER) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM lock_records();
    PERFORM ensure_day(day) FROM generate_series(first, first + days - 1) AS day;
END
$$;

-- Drops the oldest partition if its day is before `day`; whether it did. Fails rather than have everybody wait for a
-- reader that takes its time.
CREATE FUNCTION drop_day_before(day BIGINT) RETURNS BOOLEAN LANGUAGE plpgsql AS $$
DECLARE
    oldest TEXT;
    since BIGINT;
BEGIN
    PERFORM set_config('lock_timeout', '1s', true);
    PERFORM lock_records();
    SELECT min(relname::TEXT COLLATE "C") INTO oldest
    FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid WHERE inhparent = 'activations'::regclass;
    IF oldest IS NULL OR oldest >= partition_of(day) COLLATE "C" THEN
        RETURN false;
    END IF;
    EXECUTE format('DROP TABLE %I', oldest);
    since := extract(epoch FROM to_date(right(oldest, 8), 'YYYYMMDD'))::BIGINT * 1000;
    DELETE FROM activation_counts WHERE at >= since AND at < since + 86400000;
    RETURN true;
END
$$;
