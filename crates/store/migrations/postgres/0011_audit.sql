-- The audit trail: who did what, and when. Never a number, never a text.

-- Chains of entries, each with the hash of its content and of the hash before it. Written at the end of a chain only, in
-- the transaction of what it tells. By weeks, as all that grows.
CREATE TABLE audit (
    chain      BIGINT  NOT NULL,
    seq        BIGINT  NOT NULL, -- its place, from 1, without a gap
    at         BIGINT  NOT NULL, -- never goes back within a chain: a time is found by halving
    actor      TEXT    NOT NULL,
    event      TEXT    NOT NULL,
    message_id UUID,
    receiver   BIGINT,           -- a keyed hash of the number
    provider   TEXT,
    length     INTEGER,
    segments   INTEGER,
    outcome    TEXT,
    subject    TEXT,
    hash       BYTEA   NOT NULL,
    PRIMARY KEY (chain, seq, at)
) PARTITION BY RANGE (at);

CREATE TABLE audit_default PARTITION OF audit DEFAULT;

-- By message: ids begin with time, so that this grows at one end. By receiver there is none: keys in random order would
-- cost ten times what all the rest of an entry does. Whoever asks for a number goes by its messages.
CREATE INDEX audit_by_message ON audit (message_id) WHERE message_id IS NOT NULL;

-- What operators did, and what was refused, among all that was sent.
CREATE INDEX audit_of_no_message ON audit (at, chain, seq) WHERE message_id IS NULL;

-- The first partition reaches to the end of this week: see migration 4.
DO $$
DECLARE
    ends TIMESTAMP := date_trunc('week', (now() AT TIME ZONE 'UTC') + INTERVAL '1 day') + INTERVAL '7 days';
BEGIN
    EXECUTE format('CREATE TABLE audit_to_%s PARTITION OF audit FOR VALUES FROM (MINVALUE) TO (%s)',
                   to_char(ends, 'YYYYMMDD'), extract(epoch FROM ends)::BIGINT * 1000000);
END
$$;

-- Where each chain ends, and what of its beginning was forgotten, under a keyed code. Chain 0 is that of the checkpoints.
-- A few rows, which change with every commit.
CREATE TABLE audit_heads (
    chain          BIGINT NOT NULL PRIMARY KEY,
    seq            BIGINT NOT NULL,
    at             BIGINT NOT NULL,
    hash           BYTEA  NOT NULL,
    forgotten_seq  BIGINT NOT NULL,
    forgotten_hash BYTEA  NOT NULL,
    code           BYTEA  NOT NULL
) WITH (fillfactor = 10, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);

-- Where all chains ended at a moment, signed.
CREATE TABLE audit_checkpoints (
    number    BIGINT NOT NULL PRIMARY KEY,
    at        BIGINT NOT NULL,
    seen      BYTEA  NOT NULL, -- chain, place and hash of each end
    previous  BYTEA  NOT NULL,
    hash      BYTEA  NOT NULL,
    signature BYTEA  NOT NULL
);
