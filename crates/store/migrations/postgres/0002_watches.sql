-- Messages that somebody must look after at a later time.

-- Small rows, gone when settled. Like the queue, in the order of their turn.
CREATE TABLE watches (
    due_at     BIGINT  NOT NULL,
    message_id UUID    NOT NULL,
    kind       TEXT    NOT NULL, -- doubt, silence, undelivered
    attempt    INTEGER NOT NULL,
    -- Of a doubt: whose attempt, and at whom. A receipt without our id is looked for by these.
    provider   TEXT,
    receiver   BIGINT,
    -- How often the message had been sent again when somebody took the watch: a verdict of then is not about a later
    -- round.
    resends    INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (due_at, message_id)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);

CREATE INDEX watches_in_doubt ON watches (receiver, provider) WHERE receiver IS NOT NULL;

-- Parked callbacks by receiver: one of them may settle a doubt.
CREATE INDEX callbacks_parked_by_receiver ON callbacks (receiver, provider) WHERE message_id IS NULL;

-- The providers that refused a message, separated by commas.
ALTER TABLE queue ADD COLUMN refused_by TEXT;

-- How often the message had been sent again when it got this place. A row that tells another number than `rounds` is
-- left over from an earlier round: its message was settled while it waited.
ALTER TABLE queue ADD COLUMN resends INTEGER NOT NULL DEFAULT 0;

-- The few messages that were sent again. Not in `states`, where every message would pay for it.
CREATE TABLE rounds (
    message_id UUID    NOT NULL PRIMARY KEY,
    -- The number of the attempt with which the present round began: what receipts say of earlier ones counts only if
    -- it is "delivered".
    round      INTEGER NOT NULL,
    resends    INTEGER NOT NULL, -- how often it was sent again
    began_at   BIGINT  NOT NULL,
    expires_at BIGINT
);

-- Which attempt a callback is about.
ALTER TABLE callbacks ADD COLUMN attempt INTEGER;

-- Providers that operators have taken out of service.
CREATE TABLE drained (
    provider TEXT   NOT NULL PRIMARY KEY,
    since    BIGINT NOT NULL
);

-- How far chores have come.
CREATE TABLE progress (
    chore TEXT  NOT NULL PRIMARY KEY,
    mark  BYTEA NOT NULL
);
