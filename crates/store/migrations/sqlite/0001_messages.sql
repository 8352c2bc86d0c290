-- The life of a message in four tables. The wide row is written once; what changes is in small rows beside it.
-- Every key begins with time (ids are UUIDv7), so that inserts go to one end of each tree: keys in random order
-- cost several times as much. Times are microseconds since 1970 in UTC.

-- What was accepted.
CREATE TABLE messages (
    id           BLOB    NOT NULL PRIMARY KEY,
    bulk_id      BLOB,
    caller       BLOB    NOT NULL,
    receiver     INTEGER NOT NULL, -- E.164 digits as one number
    country      TEXT    NOT NULL,
    sender       TEXT,
    scenario     TEXT    NOT NULL,
    priority     TEXT    NOT NULL,
    body         TEXT    NOT NULL,
    encoding     TEXT    NOT NULL,
    segments     INTEGER NOT NULL,
    reference    TEXT,
    group_name   TEXT,
    metadata     TEXT,             -- JSON object of strings
    scheduled_at INTEGER,
    expires_at   INTEGER,
    created_at   INTEGER NOT NULL
) STRICT;

-- A caller's own messages, newest last.
CREATE INDEX messages_by_caller ON messages (caller, id);

-- By receiver, an hour at a time: within an hour the keys are few enough to stay in memory.
CREATE INDEX messages_by_receiver ON messages (created_at / 3600000000, receiver);

-- The few that leave long after they were accepted, by the hour that they are due: receipts ask for it.
CREATE INDEX messages_scheduled ON messages (scheduled_at / 3600000000, receiver) WHERE scheduled_at IS NOT NULL;

-- Where a message stands.
CREATE TABLE states (
    message_id    BLOB    NOT NULL PRIMARY KEY,
    status        TEXT    NOT NULL,
    provider      TEXT    NOT NULL, -- the route in force
    reason        TEXT,
    provider_code TEXT,
    updated_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Few messages fail, and those are the ones that people look for. Written with OR: for IN, SQLite builds a table
-- of the words at each insert and update, which doubles what a message costs.
CREATE INDEX states_in_trouble ON states (status, message_id)
    WHERE status = 'undelivered' OR status = 'failed' OR status = 'canceled' OR status = 'expired';

-- Messages that wait for their turn. A claim takes a run of rows from the front of one provider's lane.
CREATE TABLE queue (
    provider   TEXT    NOT NULL,
    lane       INTEGER NOT NULL,
    due_at     INTEGER NOT NULL,
    message_id BLOB    NOT NULL,
    attempt    INTEGER NOT NULL, -- number of the next attempt
    expires_at INTEGER,
    PRIMARY KEY (provider, lane, due_at, message_id)
) STRICT, WITHOUT ROWID;

-- One row for each try, written before the provider is asked: the intent, and the lease. A row without an
-- outcome whose lease has run out may or may not have been sent.
CREATE TABLE attempts (
    message_id          BLOB    NOT NULL,
    number              INTEGER NOT NULL,
    provider            TEXT    NOT NULL,
    node                BLOB    NOT NULL,
    lease_until         INTEGER NOT NULL,
    started_at          INTEGER NOT NULL,
    ended_at            INTEGER,
    outcome             TEXT,
    reason              TEXT,
    provider_code       TEXT,
    provider_message_id TEXT,
    segments            INTEGER,
    cost_micros         INTEGER,
    cost_currency       TEXT,
    PRIMARY KEY (message_id, number)
) STRICT, WITHOUT ROWID;

CREATE INDEX attempts_open ON attempts (lease_until) WHERE outcome IS NULL;

-- Everything that a provider told us, as it came. A callback without a message is parked until the message's
-- provider id is known.
CREATE TABLE callbacks (
    id                  INTEGER NOT NULL PRIMARY KEY,
    received_at         INTEGER NOT NULL,
    provider            TEXT    NOT NULL,
    provider_message_id TEXT    NOT NULL,
    receiver            INTEGER,
    message_id          BLOB,
    provider_status     TEXT    NOT NULL,
    status              TEXT,
    reason              TEXT,
    provider_code       TEXT,
    network_code        TEXT,
    raw                 BLOB    NOT NULL
) STRICT;

CREATE INDEX callbacks_by_message ON callbacks (message_id) WHERE message_id IS NOT NULL;
CREATE INDEX callbacks_parked ON callbacks (provider_message_id) WHERE message_id IS NULL;

-- Requests that may be repeated. Kept by day, so that a day's keys stay in memory and old days can go at once.
CREATE TABLE idempotency (
    day        INTEGER NOT NULL,
    key        BLOB    NOT NULL, -- SHA-256 over caller and key
    request    BLOB    NOT NULL, -- SHA-256 over the request's body
    reply      TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (day, key)
) STRICT, WITHOUT ROWID;

-- Callers. The key itself is shown once and not kept.
CREATE TABLE api_keys (
    id         BLOB    NOT NULL PRIMARY KEY,
    name       TEXT    NOT NULL,
    hash       BLOB    NOT NULL UNIQUE, -- SHA-256 over the key
    scopes     TEXT    NOT NULL,        -- separated by commas
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER
) STRICT, WITHOUT ROWID;

-- What readiness writes, to find out whether anything can be written.
CREATE TABLE probe (writes INTEGER NOT NULL) STRICT;
INSERT INTO probe (writes) VALUES (0);
