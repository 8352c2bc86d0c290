-- What is told to others. Changes of status come by triggers on `states` while somebody takes them for webhooks; all else is
-- written by the change that it tells of, while anybody takes it: see `write/events.rs`.
CREATE TABLE events (
    number        INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    kind          TEXT    NOT NULL,
    subject       BLOB    NOT NULL, -- the bytes of an id: those of one subject are told in the order of their numbers
    caller        BLOB,
    at            INTEGER NOT NULL,
    provider      TEXT,             -- this and the next two: of a change of status
    reason        TEXT,
    provider_code TEXT,
    sealed_data   BLOB,             -- what is told; a change of status has none
    publish       INTEGER NOT NULL, -- 1: is to be published to the broker
    stage         INTEGER NOT NULL  -- for webhooks: 0 nobody asked, 1 is to be handed out, 2 was
) STRICT;

CREATE INDEX events_to_publish ON events (number) WHERE publish = 1;
CREATE INDEX events_to_hand_out ON events (number) WHERE stage = 1;

-- Who takes what is told, as the two columns of a new event: one row. Whoever has the broker takes it already.
CREATE TABLE event_takers (
    publish INTEGER NOT NULL,
    stage   INTEGER NOT NULL
) STRICT;

INSERT INTO event_takers (publish, stage)
SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'trigger' AND name = 'keep_moved'), 0;
