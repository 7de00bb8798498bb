CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO counters VALUES ('revision', 0), ('flush', 0);

CREATE TABLE entities (
    id TEXT PRIMARY KEY,
    namespace TEXT NOT NULL,
    package TEXT,
    kind TEXT NOT NULL,
    updated INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    is_shared INTEGER NOT NULL,
    body BLOB NOT NULL
);
CREATE INDEX entities_by_update ON entities (namespace, kind, updated DESC, id);

CREATE TABLE code (id TEXT PRIMARY KEY, revision INTEGER NOT NULL, code TEXT NOT NULL);

CREATE TABLE activations (
    id TEXT PRIMARY KEY,
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    start INTEGER NOT NULL,
    record BLOB NOT NULL,
    summary BLOB NOT NULL
);
CREATE INDEX activations_by_start ON activations (namespace, start DESC);
CREATE INDEX activations_by_name ON activations (namespace, name, start DESC);

CREATE TABLE journal (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, message BLOB NOT NULL);

CREATE TABLE identities (namespace TEXT PRIMARY KEY, uuid TEXT NOT NULL UNIQUE, body BLOB NOT NULL) WITHOUT ROWID;

CREATE TABLE ledger (
    provider TEXT NOT NULL,
    key TEXT NOT NULL,
    document BLOB NOT NULL,
    PRIMARY KEY (provider, key)
) WITHOUT ROWID;
