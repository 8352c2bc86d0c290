-- Who serves this database. A node says every second that it lives.
CREATE TABLE nodes (
    id      UUID   NOT NULL PRIMARY KEY,
    seen_at BIGINT NOT NULL
);
