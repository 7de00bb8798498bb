CREATE TABLE activation_counts (
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    width INTEGER NOT NULL,
    at INTEGER NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (namespace, name, width, at)
) WITHOUT ROWID;
INSERT INTO activation_counts
    WITH widths (width) AS (VALUES (60000), (3600000))
    SELECT namespace, name, width, start / width * width, count(*) FROM activations, widths GROUP BY 1, 2, 3, 4
    UNION ALL
    SELECT namespace, '', width, start / width * width, count(*) FROM activations, widths GROUP BY 1, 2, 3, 4
