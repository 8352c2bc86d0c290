-- What is left of quotas: one number for each, by a keyed hash of what it is for. A row that has ended tells no more than
-- none would, and is forgotten.
CREATE TABLE quotas (
    quota   BIGINT NOT NULL PRIMARY KEY,
    value   BIGINT, -- nothing while somebody looks at it for the first time
    ends_at BIGINT
) WITH (fillfactor = 50);
