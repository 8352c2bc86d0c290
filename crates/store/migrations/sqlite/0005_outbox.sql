-- Changes of status on their way to a message broker. Rows come by triggers on `states`, which are there only while
-- somebody wants events: see `write/events.rs`.

-- A number is never used again, also when the outbox has run empty: it is part of an event's id.
CREATE TABLE outbox (
    id            INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    message_id    BLOB    NOT NULL,
    status        TEXT    NOT NULL,
    provider      TEXT    NOT NULL,
    reason        TEXT,
    provider_code TEXT,
    at            INTEGER NOT NULL
) STRICT;

-- Work that one node does for all, and until when it says so.
CREATE TABLE leases (
    name     TEXT    NOT NULL PRIMARY KEY,
    node     BLOB    NOT NULL,
    until_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
