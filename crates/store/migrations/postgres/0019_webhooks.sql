-- Endpoints of callers, and events on their way to them.
CREATE TABLE webhook_endpoints (
    id              UUID    NOT NULL PRIMARY KEY,
    caller          UUID    NOT NULL,
    hears_all       SMALLINT NOT NULL, -- also of what belongs to others
    sealed_url      BYTEA   NOT NULL,
    description     TEXT,
    events          TEXT    NOT NULL, -- separated by commas; an empty text: all
    sealed_secret   BYTEA   NOT NULL,
    sealed_former   BYTEA,
    former_ends_at  BIGINT,
    disabled_at     BIGINT,
    disabled_reason TEXT,
    failures        INTEGER NOT NULL, -- one after the other
    failing_since   BIGINT,
    rests_until     BIGINT,
    created_at      BIGINT  NOT NULL
);

-- That an endpoint is to get an event, and whether it did.
CREATE TABLE deliveries (
    number      BIGINT  NOT NULL, -- of the event
    endpoint_id UUID    NOT NULL,
    subject     UUID    NOT NULL,
    kind        TEXT    NOT NULL,
    state       TEXT    NOT NULL,
    due_at      BIGINT  NOT NULL,
    since       BIGINT  NOT NULL, -- when it was last made due
    posts       INTEGER NOT NULL, -- so many in all
    posts_before INTEGER NOT NULL, -- of these, so many before it was last made due
    PRIMARY KEY (number, endpoint_id)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);

CREATE INDEX deliveries_of_endpoint ON deliveries (endpoint_id, number);
CREATE INDEX deliveries_due ON deliveries (endpoint_id, due_at, number) WHERE state = 'pending';
CREATE INDEX deliveries_by_subject ON deliveries (endpoint_id, subject, number) WHERE state = 'pending';

CREATE TABLE delivery_posts (
    number      BIGINT  NOT NULL,
    endpoint_id UUID    NOT NULL,
    post        INTEGER NOT NULL,
    at          BIGINT  NOT NULL,
    took_ms     INTEGER NOT NULL,
    status      INTEGER,
    error       TEXT,
    PRIMARY KEY (number, endpoint_id, post)
);

CREATE INDEX events_by_time ON events (at, number) WHERE stage = 2;
