-- What the guard against pumping counts: codes by stretch of time and subject (a block of numbers, a country's unknown
-- blocks, a caller). Every node adds to it. No numbers of phones: a block is what thousands of them begin with.
-- Room in each page lets an update stay there, without touching the index.
CREATE TABLE guard_counts (
    grain      TEXT   NOT NULL,
    bucket     BIGINT NOT NULL,
    subject    TEXT   NOT NULL,
    sent       BIGINT NOT NULL,
    expected   BIGINT NOT NULL,
    verified   BIGINT NOT NULL,
    suspected  BIGINT NOT NULL,
    changed_at BIGINT NOT NULL,
    PRIMARY KEY (grain, bucket, subject)
) WITH (fillfactor = 60);

-- The history of one subject.
CREATE INDEX guard_days ON guard_counts (subject, bucket) WHERE grain = 'day';

-- What it thought of codes of one caller to one block within a minute.
CREATE TABLE guard_decisions (
    id        UUID   NOT NULL PRIMARY KEY,
    at        BIGINT NOT NULL,
    last_at   BIGINT NOT NULL,
    mode      TEXT   NOT NULL,
    country   TEXT   NOT NULL,
    prefix    BIGINT,
    caller    UUID   NOT NULL,
    scenario  TEXT   NOT NULL,
    reasons   TEXT   NOT NULL,
    messages  BIGINT NOT NULL,
    sampled   BIGINT NOT NULL,
    confirmed BIGINT NOT NULL
) WITH (fillfactor = 80);

-- Messages that were sent though it found them suspicious: when one is verified, the decision was wrong.
CREATE TABLE guard_samples (
    message_id  UUID NOT NULL PRIMARY KEY,
    decision_id UUID NOT NULL
);

-- What callers said of messages.
CREATE TABLE feedback (
    message_id UUID   NOT NULL PRIMARY KEY,
    outcome    TEXT   NOT NULL,
    at         BIGINT NOT NULL
);
