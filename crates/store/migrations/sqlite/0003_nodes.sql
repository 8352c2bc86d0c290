-- Who serves this database. A node says every second that it lives.
CREATE TABLE nodes (
    id      BLOB    NOT NULL PRIMARY KEY,
    seen_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
