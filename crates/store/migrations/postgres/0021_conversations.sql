-- Of the replies of a person to a prompt only so many are kept: how many were not. And when the prompt was closed, as far as
-- whoever closed it said so here: what a number was asked is found by what is open, and by what was closed last.
ALTER TABLE prompt_receivers ADD COLUMN left_out INTEGER NOT NULL DEFAULT 0;
ALTER TABLE prompt_receivers ADD COLUMN closed_at BIGINT;
UPDATE prompt_receivers SET closed_at = (SELECT p.closed_at FROM prompts p WHERE p.id = prompt_receivers.prompt_id);

DROP INDEX prompt_receivers_by_number;
CREATE INDEX prompt_receivers_by_number ON prompt_receivers (receiver_hash, closed_at);

-- The replies of each person, in their order.
DROP INDEX prompt_replies_by_prompt;
CREATE INDEX prompt_replies_by_place ON prompt_replies (prompt_id, place, received_at, inbound_id);

-- What chores look for.
CREATE INDEX prompt_replies_words ON prompt_replies (inbound_id) WHERE sealed_words IS NOT NULL;
CREATE INDEX prompt_asks_by_time ON prompt_asks (asked_at);

-- What callers list.
CREATE INDEX inbound_by_caller ON inbound (caller, id) WHERE caller IS NOT NULL;
CREATE INDEX prompts_by_caller ON prompts (caller, id);
CREATE INDEX prompts_open_by_id ON prompts (id) WHERE outcome IS NULL;
