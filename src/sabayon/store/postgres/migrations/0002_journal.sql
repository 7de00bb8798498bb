CREATE TABLE journal (
    id TEXT COLLATE "C" PRIMARY KEY,
    number BIGINT GENERATED ALWAYS AS IDENTITY,
    message BYTEA NOT NULL
);

-- Called in the transaction that keeps the records of `settled`.
CREATE FUNCTION settle(settled TEXT[]) RETURNS void LANGUAGE sql AS $$
    DELETE FROM journal WHERE id = ANY (settled)
$$;
