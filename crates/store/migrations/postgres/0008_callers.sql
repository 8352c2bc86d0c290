-- What a key is held to, separated by commas; an empty text: nothing.
ALTER TABLE api_keys ADD COLUMN scenarios TEXT NOT NULL DEFAULT '';
ALTER TABLE api_keys ADD COLUMN countries TEXT NOT NULL DEFAULT '';
ALTER TABLE api_keys ADD COLUMN senders   TEXT NOT NULL DEFAULT '';

-- Written a minute late at most.
ALTER TABLE api_keys ADD COLUMN last_used_at BIGINT;

-- Secrets that were replaced and are still taken for a while. The one in force stands in api_keys.
CREATE TABLE former_secrets (
    hash    BYTEA  NOT NULL PRIMARY KEY, -- SHA-256 over the secret
    key_id  UUID   NOT NULL,
    ends_at BIGINT NOT NULL
);

CREATE INDEX former_secrets_by_key ON former_secrets (key_id);
