-- What is reserved of caps for messages, until it is known what they cost.
CREATE TABLE reservations (
    message_id    BLOB    NOT NULL,
    quota         INTEGER NOT NULL,
    amount        INTEGER NOT NULL,
    after_attempt INTEGER NOT NULL, -- it is for the attempts after this one
    PRIMARY KEY (message_id, quota)
) STRICT, WITHOUT ROWID;
