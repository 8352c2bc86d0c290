-- Questions to many, whose replies are counted. Times of reminders are in JSON, the next one also by itself.
CREATE TABLE prompts (
    id         BLOB    NOT NULL PRIMARY KEY,
    caller     BLOB    NOT NULL,
    kind       TEXT    NOT NULL,
    reference  TEXT    NOT NULL,
    policy     TEXT    NOT NULL,
    veto       INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    closes_at  INTEGER NOT NULL,
    reminders  TEXT    NOT NULL,
    remind_at  INTEGER,
    closed_at  INTEGER,
    closed_by  TEXT,
    outcome    TEXT
) STRICT, WITHOUT ROWID;

CREATE INDEX prompts_open ON prompts (closes_at) WHERE outcome IS NULL;
CREATE INDEX prompts_to_remind ON prompts (remind_at) WHERE remind_at IS NOT NULL;

-- Whom it was put to, in the order of the request. The number itself is with the messages; a person who is forgotten has no
-- hash any more.
CREATE TABLE prompt_receivers (
    prompt_id     BLOB    NOT NULL,
    place         INTEGER NOT NULL,
    receiver_hash INTEGER,
    PRIMARY KEY (prompt_id, place)
) STRICT, WITHOUT ROWID;

CREATE INDEX prompt_receivers_by_number ON prompt_receivers (receiver_hash, prompt_id);

-- The messages that asked: the first, and reminders.
CREATE TABLE prompt_messages (
    prompt_id  BLOB    NOT NULL,
    place      INTEGER NOT NULL,
    number     INTEGER NOT NULL,
    message_id BLOB    NOT NULL,
    PRIMARY KEY (prompt_id, place, number)
) STRICT, WITHOUT ROWID;

-- What came back, with the words as they came.
CREATE TABLE prompt_replies (
    inbound_id   BLOB    NOT NULL PRIMARY KEY,
    prompt_id    BLOB    NOT NULL,
    place        INTEGER NOT NULL,
    received_at  INTEGER NOT NULL,
    fate         TEXT    NOT NULL,
    answer       TEXT,
    sealed_words BLOB
) STRICT, WITHOUT ROWID;

CREATE INDEX prompt_replies_by_prompt ON prompt_replies (prompt_id);

-- Who was asked back last, and because of which message: nobody is asked twice in a short while.
CREATE TABLE prompt_asks (
    receiver_hash INTEGER NOT NULL PRIMARY KEY,
    inbound_id    BLOB    NOT NULL,
    asked_at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
