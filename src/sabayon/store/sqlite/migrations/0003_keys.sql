CREATE TABLE keys (
    namespace TEXT NOT NULL,
    target TEXT NOT NULL,
    key TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    activation_id TEXT NOT NULL,
    claimed INTEGER NOT NULL,
    PRIMARY KEY (namespace, target, key)
) WITHOUT ROWID;
CREATE INDEX keys_by_age ON keys (claimed);
