-- What the guard against pumping counts: codes by stretch of time and subject (a block of numbers, a country's unknown
-- blocks, a caller). Every node adds to it. No numbers of phones: a block is what thousands of them begin with.
CREATE TABLE guard_counts (
    grain      TEXT    NOT NULL,
    bucket     INTEGER NOT NULL,
    subject    TEXT    NOT NULL,
    sent       INTEGER NOT NULL,
    expected   INTEGER NOT NULL,
    verified   INTEGER NOT NULL,
    suspected  INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    PRIMARY KEY (grain, bucket, subject)
) STRICT, WITHOUT ROWID;

-- The history of one subject.
CREATE INDEX guard_days ON guard_counts (subject, bucket) WHERE grain = 'day';

-- What it thought of codes of one caller to one block within a minute.
CREATE TABLE guard_decisions (
    id        BLOB    NOT NULL PRIMARY KEY,
    at        INTEGER NOT NULL,
    last_at   INTEGER NOT NULL,
    mode      TEXT    NOT NULL,
    country   TEXT    NOT NULL,
    prefix    INTEGER,
    caller    BLOB    NOT NULL,
    scenario  TEXT    NOT NULL,
    reasons   TEXT    NOT NULL,
    messages  INTEGER NOT NULL,
    sampled   INTEGER NOT NULL,
    confirmed INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Messages that were sent though it found them suspicious: when one is verified, the decision was wrong.
CREATE TABLE guard_samples (
    message_id  BLOB NOT NULL PRIMARY KEY,
    decision_id BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- What callers said of messages.
CREATE TABLE feedback (
    message_id BLOB    NOT NULL PRIMARY KEY,
    outcome    TEXT    NOT NULL,
    at         INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
