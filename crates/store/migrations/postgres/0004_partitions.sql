-- What grows goes by weeks: a week that is no longer kept is dropped as a whole. A partition's name says where it ends, a
-- Monday at midnight in UTC. What there is so far becomes the first one, up to the end of this week; the program makes the
-- next ones ahead of time. The default partitions stay, and stay empty: they are for a clock that is far ahead.
DO $$
DECLARE
    -- A day of grace: the clock of a node may be ahead of this one.
    ends   TIMESTAMP := date_trunc('week', (now() AT TIME ZONE 'UTC') + INTERVAL '1 day') + INTERVAL '7 days';
    named  TEXT      := to_char(ends, 'YYYYMMDD');
    micros BIGINT    := extract(epoch FROM ends)::BIGINT * 1000000;
    digits TEXT      := lpad(to_hex(micros / 1000), 12, '0');
    id     TEXT      := quote_literal(left(digits, 8) || '-' || right(digits, 4) || '-0000-0000-000000000000');
    grows  RECORD;
BEGIN
    FOR grows IN
        SELECT * FROM (VALUES
            ('messages', id, ''),
            ('states', id, 'WITH (fillfactor = 60)'),
            ('attempts', id, 'WITH (fillfactor = 60)'),
            ('callbacks', micros::TEXT, '')) AS grows (name, bound, options)
    LOOP
        EXECUTE format('ALTER TABLE %1$s DETACH PARTITION %1$s_default', grows.name);
        EXECUTE format('ALTER TABLE %1$s_default RENAME TO %1$s_to_%2$s', grows.name, named);
        EXECUTE format('ALTER TABLE %1$s ATTACH PARTITION %1$s_to_%2$s FOR VALUES FROM (MINVALUE) TO (%3$s)',
                       grows.name, named, grows.bound);
        EXECUTE format('CREATE TABLE %1$s_default PARTITION OF %1$s DEFAULT %2$s', grows.name, grows.options);
    END LOOP;
END
$$;
