-- Changes of status on their way to a message broker. Rows come by triggers on `states`, which are there only while
-- somebody wants events: see `write/events.rs`. What the triggers call is always there.

-- In the order of the numbers for each message: whoever moves a status has locked its row. Like the queue, rows come
-- and go.
CREATE TABLE outbox (
    id            BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    message_id    UUID   NOT NULL,
    status        TEXT   NOT NULL,
    provider      TEXT   NOT NULL,
    reason        TEXT,
    provider_code TEXT,
    at            BIGINT NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);

-- Work that one node does for all, and until when it says so.
CREATE TABLE leases (
    name     TEXT   NOT NULL PRIMARY KEY,
    node     UUID   NOT NULL,
    until_at BIGINT NOT NULL
);

-- One statement for all rows that a statement touched: statements are for many messages here.
CREATE FUNCTION tuma_keep_new() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO outbox (message_id, status, provider, reason, provider_code, at)
    SELECT n.message_id, n.status, n.provider, n.reason, n.provider_code, n.updated_at
    FROM new_rows n WHERE n.status <> 'sending';
    RETURN NULL;
END $$;

-- The rows of a statement have no index to join them by, and our sessions prefer indexes.
CREATE FUNCTION tuma_keep_moved() RETURNS trigger LANGUAGE plpgsql SET enable_hashjoin = on AS $$
BEGIN
    INSERT INTO outbox (message_id, status, provider, reason, provider_code, at)
    SELECT n.message_id, n.status, n.provider, n.reason, n.provider_code, n.updated_at
    FROM new_rows n JOIN old_rows o ON o.message_id = n.message_id
    WHERE n.status <> 'sending' AND n.status <> o.status;
    RETURN NULL;
END $$;
