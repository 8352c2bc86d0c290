-- What was drawn on quotas and is not in their table yet: the writer brings it there, many at once and in the order of the keys.
CREATE TABLE draws (
    id      INTEGER NOT NULL PRIMARY KEY,
    quota   INTEGER NOT NULL,
    value   INTEGER NOT NULL,
    ends_at INTEGER NOT NULL
) STRICT;

-- What is reserved of caps for messages, until it is known what they cost.
CREATE TABLE reservations (
    message_id    BLOB    NOT NULL,
    quota         INTEGER NOT NULL,
    amount        INTEGER NOT NULL,
    after_attempt INTEGER NOT NULL, -- it is for the attempts after this one
    PRIMARY KEY (message_id, quota)
) STRICT, WITHOUT ROWID;
