-- How many checkpoints there were when one last saw the chain, under the code of its head: so none can be taken out unseen.
ALTER TABLE audit_heads ADD COLUMN last_checkpoint BIGINT NOT NULL DEFAULT 0;

-- As migration 5 makes it now. It was changed after some databases had been made by it, whose function joins row by row.
CREATE OR REPLACE FUNCTION tuma_keep_moved() RETURNS trigger LANGUAGE plpgsql SET enable_hashjoin = on AS $$
BEGIN
    INSERT INTO outbox (message_id, status, provider, reason, provider_code, at)
    SELECT n.message_id, n.status, n.provider, n.reason, n.provider_code, n.updated_at
    FROM new_rows n JOIN old_rows o ON o.message_id = n.message_id
    WHERE n.status <> 'sending' AND n.status <> o.status;
    RETURN NULL;
END $$;
