-- Before a message is queued again, it is looked whether its prompt is still open.
CREATE INDEX prompt_messages_by_message ON prompt_messages (message_id);
-- What the broker and the webhooks let go of at the same moment was left behind.
DELETE FROM events WHERE publish = 0 AND stage = 0;
