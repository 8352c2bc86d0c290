-- The life of a message. The wide row is written once; what changes is in small rows beside it. Times are microseconds
-- since 1970 in UTC, bound by the program: nothing here reads the database's clock.
--
-- What grows can be partitioned by time: by the UUIDv7 id of a message, or by when a callback came. So far everything is in
-- the default partition; partitions for times to come can be added without moving a row.

-- What was accepted.
CREATE TABLE messages (
    id           UUID     NOT NULL PRIMARY KEY,
    bulk_id      UUID,
    caller       UUID     NOT NULL,
    receiver     BIGINT   NOT NULL, -- E.164 digits as one number
    country      TEXT     NOT NULL,
    sender       TEXT,
    scenario     TEXT     NOT NULL,
    priority     TEXT     NOT NULL,
    body         TEXT     NOT NULL,
    encoding     TEXT     NOT NULL,
    segments     INTEGER  NOT NULL,
    reference    TEXT,
    group_name   TEXT,
    metadata     TEXT,              -- JSON object of strings
    scheduled_at BIGINT,
    expires_at   BIGINT,
    created_at   BIGINT   NOT NULL
) PARTITION BY RANGE (id);

CREATE TABLE messages_default PARTITION OF messages DEFAULT;

-- A caller's own messages, newest last.
CREATE INDEX messages_by_caller ON messages (caller, id);

-- By receiver, an hour at a time: within an hour the keys are few enough to stay in memory.
CREATE INDEX messages_by_receiver ON messages ((created_at / 3600000000), receiver);

-- The few that leave long after they were accepted, by the hour that they are due: receipts ask for it.
CREATE INDEX messages_scheduled ON messages ((scheduled_at / 3600000000), receiver) WHERE scheduled_at IS NOT NULL;

CREATE INDEX messages_by_bulk ON messages (bulk_id) WHERE bulk_id IS NOT NULL;

-- Where a message stands. Room in each page lets an update stay there, without touching the index.
CREATE TABLE states (
    message_id    UUID   NOT NULL PRIMARY KEY,
    status        TEXT   NOT NULL,
    provider      TEXT   NOT NULL, -- the route in force
    reason        TEXT,
    provider_code TEXT,
    updated_at    BIGINT NOT NULL
) PARTITION BY RANGE (message_id);

CREATE TABLE states_default PARTITION OF states DEFAULT WITH (fillfactor = 60);

-- Few messages fail, and those are the ones that people look for.
CREATE INDEX states_in_trouble ON states (status, message_id)
    WHERE status IN ('undelivered', 'failed', 'canceled', 'expired');

-- Messages that wait for their turn. A claim takes rows from the front of one provider's lane, past those that another
-- node is taking.
CREATE TABLE queue (
    provider   TEXT     NOT NULL,
    lane       SMALLINT NOT NULL,
    due_at     BIGINT   NOT NULL,
    message_id UUID     NOT NULL,
    attempt    INTEGER  NOT NULL, -- number of the next attempt
    expires_at BIGINT,
    PRIMARY KEY (provider, lane, due_at, message_id)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);

-- One row for each try, written before the provider is asked: the intent, and the lease. A row without an
-- outcome whose lease has run out may or may not have been sent.
CREATE TABLE attempts (
    message_id          UUID    NOT NULL,
    number              INTEGER NOT NULL,
    provider            TEXT    NOT NULL,
    node                UUID    NOT NULL,
    lease_until         BIGINT  NOT NULL,
    started_at          BIGINT  NOT NULL,
    ended_at            BIGINT,
    outcome             TEXT,
    reason              TEXT,
    provider_code       TEXT,
    provider_message_id TEXT,
    segments            INTEGER,
    cost_micros         BIGINT,
    cost_currency       TEXT,
    PRIMARY KEY (message_id, number)
) PARTITION BY RANGE (message_id);

CREATE TABLE attempts_default PARTITION OF attempts DEFAULT WITH (fillfactor = 60);

CREATE INDEX attempts_open ON attempts (lease_until) WHERE outcome IS NULL;

-- Everything that a provider told us, as it came. A callback without a message is parked until the message's
-- provider id is known.
CREATE TABLE callbacks (
    id                  BIGINT GENERATED ALWAYS AS IDENTITY,
    received_at         BIGINT NOT NULL,
    provider            TEXT   NOT NULL,
    provider_message_id TEXT   NOT NULL,
    receiver            BIGINT,
    message_id          UUID,
    provider_status     TEXT   NOT NULL,
    status              TEXT,
    reason              TEXT,
    provider_code       TEXT,
    network_code        TEXT,
    raw                 BYTEA  NOT NULL,
    PRIMARY KEY (received_at, id)
) PARTITION BY RANGE (received_at);

CREATE TABLE callbacks_default PARTITION OF callbacks DEFAULT;

CREATE INDEX callbacks_by_message ON callbacks (message_id) WHERE message_id IS NOT NULL;
CREATE INDEX callbacks_parked ON callbacks (provider_message_id) WHERE message_id IS NULL;

-- Requests that may be repeated, by day.
CREATE TABLE idempotency (
    day        BIGINT NOT NULL,
    key        BYTEA  NOT NULL, -- SHA-256 over caller and key
    request    BYTEA  NOT NULL, -- SHA-256 over the request's body
    reply      TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (day, key)
);

-- Callers. The key itself is shown once and not kept.
CREATE TABLE api_keys (
    id         UUID   NOT NULL PRIMARY KEY,
    name       TEXT   NOT NULL,
    hash       BYTEA  NOT NULL UNIQUE, -- SHA-256 over the key
    scopes     TEXT   NOT NULL,        -- separated by commas
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT
);

-- What readiness writes, to find out whether anything can be written.
CREATE TABLE probe (writes BIGINT NOT NULL);
INSERT INTO probe (writes) VALUES (0);
