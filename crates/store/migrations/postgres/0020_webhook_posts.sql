-- What one caller's events were, in the order in which they happened: a replay goes through no others.
CREATE INDEX events_of_caller ON events (caller, at, number) WHERE stage = 2;
