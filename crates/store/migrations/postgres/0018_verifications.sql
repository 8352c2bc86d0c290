-- One-time codes, each known by the message that carries it. Of a code there is a keyed hash; the code itself is sealed and
-- kept only while it is open and only where the same code is sent again.
CREATE TABLE verifications (
    message_id    UUID    NOT NULL PRIMARY KEY,
    caller        UUID    NOT NULL,
    receiver_hash BIGINT  NOT NULL,
    country       TEXT    NOT NULL,
    status        TEXT    NOT NULL,
    code_hash     BYTEA   NOT NULL,
    sealed_code   BYTEA,
    checks_left   INTEGER NOT NULL,
    created_at    BIGINT  NOT NULL,
    expires_at    BIGINT  NOT NULL,
    ended_at      BIGINT
) WITH (fillfactor = 80);

-- Those of a receiver that are open: small, for codes live for minutes.
CREATE INDEX verifications_open ON verifications (receiver_hash) WHERE status = 'pending';

-- Those whose time runs out next.
CREATE INDEX verifications_next ON verifications (expires_at) WHERE status = 'pending';

-- How many codes a route was given that have ended, and how many of these were typed in again; by the time at which they
-- were sent. Every node adds to it. Room in each page lets an update stay there, without touching the index.
CREATE TABLE conversions (
    grain    TEXT   NOT NULL,
    bucket   BIGINT NOT NULL,
    provider TEXT   NOT NULL,
    country  TEXT   NOT NULL,
    sent     BIGINT NOT NULL,
    verified BIGINT NOT NULL,
    PRIMARY KEY (grain, bucket, provider, country)
) WITH (fillfactor = 60);
