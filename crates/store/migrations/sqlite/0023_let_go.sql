-- Before a message is queued again, it is looked whether its prompt is still open.
CREATE INDEX prompt_messages_by_message ON prompt_messages (message_id);
