-- Numbers and texts are sealed, and found by a keyed hash. What was there before begins with "plain:" until the program has
-- sealed it, which it does before it serves anybody.

-- The keys that seal, sealed themselves under the master key, which is not in the database. 0 is the key of the hashes.
CREATE TABLE data_keys (
    id      INTEGER NOT NULL PRIMARY KEY,
    wrapped BLOB    NOT NULL,
    in_use  INTEGER NOT NULL -- 1: what is new may be sealed under it
) STRICT, WITHOUT ROWID;

ALTER TABLE messages RENAME COLUMN receiver TO receiver_hash;
ALTER TABLE messages ADD COLUMN sealed_receiver BLOB NOT NULL DEFAULT x'';
ALTER TABLE messages ADD COLUMN sealed_body BLOB; -- nothing where the text was erased
UPDATE messages SET sealed_receiver = CAST('plain:' || receiver_hash AS BLOB), sealed_body = CAST('plain:' || body AS BLOB);
ALTER TABLE messages DROP COLUMN body;

ALTER TABLE callbacks RENAME COLUMN receiver TO receiver_hash;
ALTER TABLE callbacks RENAME COLUMN raw TO sealed_raw;
UPDATE callbacks SET sealed_raw = CAST('plain:' || CAST(sealed_raw AS TEXT) AS BLOB);

ALTER TABLE watches RENAME COLUMN receiver TO receiver_hash;

-- One-time codes whose text is still there.
CREATE TABLE erasable (message_id BLOB NOT NULL PRIMARY KEY) STRICT, WITHOUT ROWID;
INSERT INTO erasable (message_id) SELECT id FROM messages WHERE scenario = 'otp';

INSERT INTO progress (chore, mark) SELECT 'seal', x''
    WHERE EXISTS (SELECT 1 FROM messages) OR EXISTS (SELECT 1 FROM callbacks);
