-- One-time codes, each known by the message that carries it. Of a code there is a keyed hash; the code itself is sealed and
-- kept only while it is open and only where the same code is sent again.
CREATE TABLE verifications (
    message_id    BLOB    NOT NULL PRIMARY KEY,
    caller        BLOB    NOT NULL,
    receiver_hash INTEGER NOT NULL,
    country       TEXT    NOT NULL,
    status        TEXT    NOT NULL,
    code_hash     BLOB    NOT NULL,
    sealed_code   BLOB,
    checks_left   INTEGER NOT NULL,
    created_at    INTEGER NOT NULL,
    expires_at    INTEGER NOT NULL,
    ended_at      INTEGER
) STRICT, WITHOUT ROWID;

-- Those of a receiver that are open: small, for codes live for minutes.
CREATE INDEX verifications_open ON verifications (receiver_hash) WHERE status = 'pending';

-- Those whose time runs out next.
CREATE INDEX verifications_next ON verifications (expires_at) WHERE status = 'pending';

-- How many codes a route was given that have ended, and how many of these were typed in again; by the time at which they
-- were sent. Every node adds to it.
CREATE TABLE conversions (
    grain    TEXT    NOT NULL,
    bucket   INTEGER NOT NULL,
    provider TEXT    NOT NULL,
    country  TEXT    NOT NULL,
    sent     INTEGER NOT NULL,
    verified INTEGER NOT NULL,
    PRIMARY KEY (grain, bucket, provider, country)
) STRICT, WITHOUT ROWID;
