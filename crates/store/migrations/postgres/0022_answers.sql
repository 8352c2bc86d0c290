-- Whether a message from a phone was answered: a callback that comes again is answered as before.
ALTER TABLE inbound ADD COLUMN replied INTEGER NOT NULL DEFAULT 0;
