-- holder: who has the entry in hand; NULL while it waits for its time.
CREATE TABLE journal (
    id TEXT COLLATE "C" PRIMARY KEY,
    number BIGINT GENERATED ALWAYS AS IDENTITY,
    namespace TEXT COLLATE "C" NOT NULL,
    message BYTEA NOT NULL,
    due BIGINT NOT NULL,
    attempts INTEGER NOT NULL,
    holder TEXT COLLATE "C"
);
CREATE INDEX journal_waiting ON journal (namespace, due, number) WHERE holder IS NULL;
CREATE INDEX journal_held ON journal (holder) WHERE holder IS NOT NULL;

-- Called in the transaction that keeps the records of `settled`.
CREATE FUNCTION settle(settled TEXT[]) RETURNS void LANGUAGE sql AS $$
    DELETE FROM journal WHERE id = ANY (settled)
$$;

CREATE TABLE dead_letters (
    id TEXT COLLATE "C" PRIMARY KEY,
    number BIGINT GENERATED ALWAYS AS IDENTITY,
    namespace TEXT COLLATE "C" NOT NULL,
    summary BYTEA NOT NULL,
    message BYTEA NOT NULL
);
CREATE INDEX dead_letters_by_namespace ON dead_letters (namespace, number);

CREATE TABLE keys (
    namespace TEXT COLLATE "C" NOT NULL,
    target TEXT COLLATE "C" NOT NULL,
    key TEXT COLLATE "C" NOT NULL,
    fingerprint BYTEA NOT NULL,
    activation_id TEXT COLLATE "C" NOT NULL,
    claimed BIGINT NOT NULL,
    PRIMARY KEY (namespace, target, key)
);
CREATE INDEX keys_by_age ON keys (claimed);
