CREATE TABLE installation (id TEXT NOT NULL);

CREATE SEQUENCE revisions;

CREATE TABLE entities (
    id TEXT COLLATE "C" PRIMARY KEY,
    namespace TEXT COLLATE "C" NOT NULL,
    package TEXT COLLATE "C",
    kind TEXT COLLATE "C" NOT NULL,
    updated BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    is_shared BOOLEAN NOT NULL,
    body BYTEA NOT NULL,
    code BYTEA
);
CREATE INDEX entities_by_update ON entities (namespace, kind, updated DESC, id);

CREATE TABLE identities (
    namespace TEXT COLLATE "C" PRIMARY KEY,
    uuid TEXT COLLATE "C" NOT NULL UNIQUE,
    body BYTEA NOT NULL
);

CREATE TABLE ledger (
    provider TEXT COLLATE "C",
    key TEXT COLLATE "C",
    document BYTEA NOT NULL,
    PRIMARY KEY (provider, key)
);
