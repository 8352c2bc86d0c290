-- Templates, each version once and never changed. Of a name, the version in force is the one that was published last.
CREATE TABLE templates (
    name text NOT NULL,
    version int4 NOT NULL,
    definition text NOT NULL,
    created_at int8 NOT NULL,
    created_by text NOT NULL,
    published_at int8,
    published_by text,
    -- Deleted: kept, for messages name it.
    retired_at int8,
    PRIMARY KEY (name, version)
);

-- What a text was made of, as `name@version/locale/variant`: one column, for it is written with each message.
ALTER TABLE messages ADD COLUMN template text;
