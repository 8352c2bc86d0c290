-- An update stays in its page, and touches no index, only if no indexed column changes; `status` was one. What is in the
-- index of trouble now is a column of its own, which changes only when a message gets into trouble. Writes the table anew.
ALTER TABLE states ADD COLUMN trouble TEXT
    GENERATED ALWAYS AS (CASE WHEN status IN ('undelivered', 'failed', 'canceled', 'expired') THEN status END) STORED;

DROP INDEX states_in_trouble;

CREATE INDEX states_in_trouble ON states (trouble, message_id) WHERE trouble IS NOT NULL;
