-- Questions to many, whose replies are counted. Times of reminders are in JSON, the next one also by itself.
CREATE TABLE prompts (
    id         UUID    NOT NULL PRIMARY KEY,
    caller     UUID    NOT NULL,
    kind       TEXT    NOT NULL,
    reference  TEXT    NOT NULL,
    policy     TEXT    NOT NULL,
    veto       INTEGER NOT NULL,
    created_at BIGINT NOT NULL,
    closes_at  BIGINT NOT NULL,
    reminders  TEXT    NOT NULL,
    remind_at  BIGINT,
    closed_at  BIGINT,
    closed_by  TEXT,
    outcome    TEXT
);

CREATE INDEX prompts_open ON prompts (closes_at) WHERE outcome IS NULL;
CREATE INDEX prompts_to_remind ON prompts (remind_at) WHERE remind_at IS NOT NULL;

-- Whom it was put to, in the order of the request. The number itself is with the messages; a person who is forgotten has no
-- hash any more.
CREATE TABLE prompt_receivers (
    prompt_id     UUID    NOT NULL,
    place         INTEGER NOT NULL,
    receiver_hash BIGINT,
    PRIMARY KEY (prompt_id, place)
);

CREATE INDEX prompt_receivers_by_number ON prompt_receivers (receiver_hash, prompt_id);

-- The messages that asked: the first, and reminders.
CREATE TABLE prompt_messages (
    prompt_id  UUID    NOT NULL,
    place      INTEGER NOT NULL,
    number     INTEGER NOT NULL,
    message_id UUID    NOT NULL,
    PRIMARY KEY (prompt_id, place, number)
);

-- What came back, with the words as they came.
CREATE TABLE prompt_replies (
    inbound_id   UUID    NOT NULL PRIMARY KEY,
    prompt_id    UUID    NOT NULL,
    place        INTEGER NOT NULL,
    received_at  BIGINT NOT NULL,
    fate         TEXT    NOT NULL,
    answer       TEXT,
    sealed_words BYTEA
);

CREATE INDEX prompt_replies_by_prompt ON prompt_replies (prompt_id);

-- Who was asked back last, and because of which message: nobody is asked twice in a short while.
CREATE TABLE prompt_asks (
    receiver_hash BIGINT NOT NULL PRIMARY KEY,
    inbound_id    UUID    NOT NULL,
    asked_at      BIGINT NOT NULL
);
