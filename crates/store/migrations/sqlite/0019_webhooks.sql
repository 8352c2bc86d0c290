-- Endpoints of callers, and events on their way to them.
CREATE TABLE webhook_endpoints (
    id              BLOB    NOT NULL PRIMARY KEY,
    caller          BLOB    NOT NULL,
    hears_all       INTEGER NOT NULL, -- also of what belongs to others
    sealed_url      BLOB    NOT NULL,
    description     TEXT,
    events          TEXT    NOT NULL, -- separated by commas; an empty text: all
    sealed_secret   BLOB    NOT NULL,
    sealed_former   BLOB,
    former_ends_at  INTEGER,
    disabled_at     INTEGER,
    disabled_reason TEXT,
    failures        INTEGER NOT NULL, -- one after the other
    failing_since   INTEGER,
    rests_until     INTEGER,
    created_at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- That an endpoint is to get an event, and whether it did.
CREATE TABLE deliveries (
    number      INTEGER NOT NULL, -- of the event
    endpoint_id BLOB    NOT NULL,
    subject     BLOB    NOT NULL,
    kind        TEXT    NOT NULL,
    state       TEXT    NOT NULL,
    due_at      INTEGER NOT NULL,
    since       INTEGER NOT NULL, -- when it was last made due
    posts       INTEGER NOT NULL, -- so many in all
    posts_before INTEGER NOT NULL, -- of these, so many before it was last made due
    PRIMARY KEY (number, endpoint_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX deliveries_of_endpoint ON deliveries (endpoint_id, number);
CREATE INDEX deliveries_due ON deliveries (endpoint_id, due_at, number) WHERE state = 'pending';
CREATE INDEX deliveries_by_subject ON deliveries (endpoint_id, subject, number) WHERE state = 'pending';

CREATE TABLE delivery_posts (
    number      INTEGER NOT NULL,
    endpoint_id BLOB    NOT NULL,
    post        INTEGER NOT NULL,
    at          INTEGER NOT NULL,
    took_ms     INTEGER NOT NULL,
    status      INTEGER,
    error       TEXT,
    PRIMARY KEY (number, endpoint_id, post)
) STRICT, WITHOUT ROWID;

CREATE INDEX events_by_time ON events (at, number) WHERE stage = 2;
