-- Only for PostgreSQL, whose updates are cheaper if no indexed column changes. The numbers of both stay the same.
SELECT 1;
