-- Messages from phones. The text and what came with it are erased when texts are, the row goes when messages go.
CREATE TABLE inbound (
    id UUID PRIMARY KEY,
    received_at BIGINT NOT NULL,
    provider TEXT NOT NULL,
    provider_message_id TEXT NOT NULL,
    -- Of a phone; a name or short code has neither hash nor country.
    from_hash BIGINT,
    country TEXT,
    sealed_from BYTEA NOT NULL,
    sent_to TEXT NOT NULL,
    sealed_text BYTEA,
    sealed_raw BYTEA,
    segments INTEGER,
    keyword TEXT,
    word TEXT,
    caller UUID,
    handling TEXT NOT NULL
);

-- By which a callback is known that comes again.
CREATE UNIQUE INDEX inbound_by_provider ON inbound (provider, provider_message_id);
CREATE INDEX inbound_by_number ON inbound (from_hash, id) WHERE from_hash IS NOT NULL;
CREATE INDEX inbound_texts ON inbound (id) WHERE sealed_text IS NOT NULL;

-- The consent ledger: entries are added. Only a number is taken out, when somebody wants to be forgotten.
CREATE TABLE consents (
    id UUID PRIMARY KEY,
    at BIGINT NOT NULL,
    number_hash BIGINT NOT NULL,
    country TEXT NOT NULL,
    sealed_number BYTEA,
    -- Empty for all senders.
    sender TEXT NOT NULL,
    direction TEXT NOT NULL,
    extent TEXT NOT NULL,
    source TEXT NOT NULL,
    provider TEXT,
    inbound_id UUID,
    detail TEXT,
    actor TEXT NOT NULL
);

CREATE INDEX consents_by_number ON consents (number_hash, id);

-- What follows from it: the opt-outs that hold now.
CREATE TABLE opt_outs (
    number_hash BIGINT NOT NULL,
    sender TEXT NOT NULL,
    extent TEXT NOT NULL,
    consent_id UUID NOT NULL,
    source TEXT NOT NULL,
    since BIGINT NOT NULL,
    PRIMARY KEY (number_hash, sender, extent)
);

CREATE UNIQUE INDEX opt_outs_by_entry ON opt_outs (consent_id);
