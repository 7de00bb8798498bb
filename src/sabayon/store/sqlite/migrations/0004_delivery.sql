ALTER TABLE journal ADD COLUMN namespace TEXT NOT NULL DEFAULT '';
ALTER TABLE journal ADD COLUMN due INTEGER NOT NULL DEFAULT 0;
ALTER TABLE journal ADD COLUMN attempts INTEGER NOT NULL DEFAULT 1;
ALTER TABLE journal ADD COLUMN is_held INTEGER NOT NULL DEFAULT 1;
CREATE INDEX journal_waiting ON journal (namespace, due, number) WHERE is_held = 0;

CREATE TABLE dead_letters (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    namespace TEXT NOT NULL,
    summary BLOB NOT NULL,
    message BLOB NOT NULL
);
CREATE INDEX dead_letters_by_namespace ON dead_letters (namespace, number);
