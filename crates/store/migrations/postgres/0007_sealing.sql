-- Numbers and texts are sealed, and found by a keyed hash. What was there before begins with "plain:" until the program has
-- sealed it, which it does before it serves anybody.

-- The keys that seal, sealed themselves under the master key, which is not in the database. 0 is the key of the hashes.
CREATE TABLE data_keys (
    id      INTEGER NOT NULL PRIMARY KEY,
    wrapped BYTEA   NOT NULL,
    in_use  INTEGER NOT NULL -- 1: what is new may be sealed under it
);

ALTER TABLE messages RENAME COLUMN receiver TO receiver_hash;
ALTER TABLE messages ADD COLUMN sealed_receiver BYTEA NOT NULL DEFAULT '';
ALTER TABLE messages ADD COLUMN sealed_body BYTEA; -- nothing where the text was erased
UPDATE messages SET sealed_receiver = convert_to('plain:' || receiver_hash, 'UTF8'),
    sealed_body = convert_to('plain:' || body, 'UTF8');
ALTER TABLE messages DROP COLUMN body;

ALTER TABLE callbacks RENAME COLUMN receiver TO receiver_hash;
ALTER TABLE callbacks RENAME COLUMN raw TO sealed_raw;
UPDATE callbacks SET sealed_raw = 'plain:'::BYTEA || sealed_raw;

ALTER TABLE watches RENAME COLUMN receiver TO receiver_hash;

-- One-time codes whose text is still there.
CREATE TABLE erasable (message_id UUID NOT NULL PRIMARY KEY);
INSERT INTO erasable (message_id) SELECT id FROM messages WHERE scenario = 'otp';

INSERT INTO progress (chore, mark) SELECT 'seal', ''
    WHERE EXISTS (SELECT 1 FROM messages) OR EXISTS (SELECT 1 FROM callbacks);
