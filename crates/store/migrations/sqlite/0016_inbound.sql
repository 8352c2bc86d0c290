-- Messages from phones. The text and what came with it are erased when texts are, the row goes when messages go.
CREATE TABLE inbound (
    id BLOB PRIMARY KEY,
    received_at INTEGER NOT NULL,
    provider TEXT NOT NULL,
    provider_message_id TEXT NOT NULL,
    -- Of a phone; a name or short code has neither hash nor country.
    from_hash INTEGER,
    country TEXT,
    sealed_from BLOB NOT NULL,
    sent_to TEXT NOT NULL,
    sealed_text BLOB,
    sealed_raw BLOB,
    segments INTEGER,
    keyword TEXT,
    word TEXT,
    caller BLOB,
    handling TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- By which a callback is known that comes again.
CREATE UNIQUE INDEX inbound_by_provider ON inbound (provider, provider_message_id);
CREATE INDEX inbound_by_number ON inbound (from_hash, id) WHERE from_hash IS NOT NULL;
CREATE INDEX inbound_texts ON inbound (id) WHERE sealed_text IS NOT NULL;

-- The consent ledger: entries are added. Only a number is taken out, when somebody wants to be forgotten.
CREATE TABLE consents (
    id BLOB PRIMARY KEY,
    at INTEGER NOT NULL,
    number_hash INTEGER NOT NULL,
    country TEXT NOT NULL,
    sealed_number BLOB,
    -- Empty for all senders.
    sender TEXT NOT NULL,
    direction TEXT NOT NULL,
    extent TEXT NOT NULL,
    source TEXT NOT NULL,
    provider TEXT,
    inbound_id BLOB,
    detail TEXT,
    actor TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX consents_by_number ON consents (number_hash, id);

-- What follows from it: the opt-outs that hold now.
CREATE TABLE opt_outs (
    number_hash INTEGER NOT NULL,
    sender TEXT NOT NULL,
    extent TEXT NOT NULL,
    consent_id BLOB NOT NULL,
    source TEXT NOT NULL,
    since INTEGER NOT NULL,
    PRIMARY KEY (number_hash, sender, extent)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX opt_outs_by_entry ON opt_outs (consent_id);
