-- The audit trail: who did what, and when. Never a number, never a text.

-- Chains of entries, each with the hash of its content and of the hash before it. Written at the end of a chain only, in
-- the transaction of what it tells.
CREATE TABLE audit (
    chain      INTEGER NOT NULL,
    seq        INTEGER NOT NULL, -- its place, from 1, without a gap
    at         INTEGER NOT NULL, -- never goes back within a chain: a time is found by halving
    actor      TEXT    NOT NULL,
    event      TEXT    NOT NULL,
    message_id BLOB,
    receiver   INTEGER,          -- a keyed hash of the number
    provider   TEXT,
    length     INTEGER,
    segments   INTEGER,
    outcome    TEXT,
    subject    TEXT,
    hash       BLOB    NOT NULL,
    PRIMARY KEY (chain, seq)
) STRICT, WITHOUT ROWID;

-- By message: ids begin with time, so that this grows at one end. By receiver there is none: keys in random order would
-- cost ten times what all the rest of an entry does. Whoever asks for a number goes by its messages.
CREATE INDEX audit_by_message ON audit (message_id) WHERE message_id IS NOT NULL;

-- What operators did, and what was refused, among all that was sent.
CREATE INDEX audit_of_no_message ON audit (at) WHERE message_id IS NULL;

-- Where each chain ends, and what of its beginning was forgotten, under a keyed code. Chain 0 is that of the checkpoints.
CREATE TABLE audit_heads (
    chain          INTEGER NOT NULL PRIMARY KEY,
    seq            INTEGER NOT NULL,
    at             INTEGER NOT NULL,
    hash           BLOB    NOT NULL,
    forgotten_seq  INTEGER NOT NULL,
    forgotten_hash BLOB    NOT NULL,
    code           BLOB    NOT NULL
) STRICT, WITHOUT ROWID;

-- Where all chains ended at a moment, signed.
CREATE TABLE audit_checkpoints (
    number    INTEGER NOT NULL PRIMARY KEY,
    at        INTEGER NOT NULL,
    seen      BLOB    NOT NULL, -- chain, place and hash of each end
    previous  BLOB    NOT NULL,
    hash      BLOB    NOT NULL,
    signature BLOB    NOT NULL
) STRICT, WITHOUT ROWID;
