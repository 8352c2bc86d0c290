-- Templates, each version once and never changed. Of a name, the version in force is the one that was published last.
CREATE TABLE templates (
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    definition TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    published_at INTEGER,
    published_by TEXT,
    -- Deleted: kept, for messages name it.
    retired_at INTEGER,
    PRIMARY KEY (name, version)
) STRICT, WITHOUT ROWID;

-- What a text was made of, as `name@version/locale/variant`: one column, for it is written with each message.
ALTER TABLE messages ADD COLUMN template TEXT;
