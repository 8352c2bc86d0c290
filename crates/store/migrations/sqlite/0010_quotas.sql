-- What is left of quotas: one number for each, by a keyed hash of what it is for. A row that has ended tells no more than
-- none would, and is forgotten.
CREATE TABLE quotas (
    quota   INTEGER NOT NULL PRIMARY KEY,
    value   INTEGER, -- nothing while somebody looks at it for the first time
    ends_at INTEGER
) STRICT;
