-- How many checkpoints there were when one last saw the chain, under the code of its head: so none can be taken out unseen.
ALTER TABLE audit_heads ADD COLUMN last_checkpoint INTEGER NOT NULL DEFAULT 0;
