-- What is told to others. Changes of status come by triggers on `states` while somebody takes them for webhooks; all else is
-- written by the change that it tells of, while anybody takes it: see `write/events.rs`.
CREATE TABLE events (
    number        BIGINT   GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind          TEXT     NOT NULL,
    subject       UUID     NOT NULL, -- the bytes of an id: those of one subject are told in the order of their numbers
    caller        UUID,
    at            BIGINT   NOT NULL,
    provider      TEXT,              -- this and the next two: of a change of status
    reason        TEXT,
    provider_code TEXT,
    sealed_data   BYTEA,             -- what is told; a change of status has none
    publish       SMALLINT NOT NULL, -- 1: is to be published to the broker
    stage         SMALLINT NOT NULL  -- for webhooks: 0 nobody asked, 1 is to be handed out, 2 was
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);

CREATE INDEX events_to_publish ON events (number) WHERE publish = 1;
CREATE INDEX events_to_hand_out ON events (number) WHERE stage = 1;

-- Who takes what is told, as the two columns of a new event: one row. Whoever has the broker takes it already.
CREATE TABLE event_takers (
    publish SMALLINT NOT NULL,
    stage   SMALLINT NOT NULL
);

INSERT INTO event_takers (publish, stage)
SELECT CASE WHEN EXISTS (SELECT 1 FROM pg_trigger WHERE tgrelid = 'states'::regclass AND tgname = 'keep_moved')
       THEN 1 ELSE 0 END, 0;

-- Like those of the outbox, for whoever takes changes of status for webhooks.
CREATE FUNCTION tuma_tell_new() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO events (kind, subject, at, provider, reason, provider_code, publish, stage)
    SELECT 'message.' || n.status, n.message_id, n.updated_at, n.provider, n.reason, n.provider_code, 0, 1
    FROM new_rows n WHERE n.status <> 'sending';
    RETURN NULL;
END $$;

CREATE FUNCTION tuma_tell_moved() RETURNS trigger LANGUAGE plpgsql SET enable_hashjoin = on AS $$
BEGIN
    INSERT INTO events (kind, subject, at, provider, reason, provider_code, publish, stage)
    SELECT 'message.' || n.status, n.message_id, n.updated_at, n.provider, n.reason, n.provider_code, 0, 1
    FROM new_rows n JOIN old_rows o ON o.message_id = n.message_id
    WHERE n.status <> 'sending' AND n.status <> o.status;
    RETURN NULL;
END $$;
