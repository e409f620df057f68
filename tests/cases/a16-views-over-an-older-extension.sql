-- ends: whole
-- A view (and what stands on it) over a column that the extension's newest version has no more: the dump installs the newest.
CREATE EXTENSION pg_stat_statements VERSION '1.7';
CREATE VIEW slow AS SELECT queryid, query, total_time, mean_time FROM pg_stat_statements;
CREATE VIEW slower AS SELECT * FROM slow WHERE mean_time > 100;
COMMENT ON VIEW slower IS 'above';
CREATE TABLE snap (id int PRIMARY KEY, queryid bigint);
INSERT INTO snap SELECT i, i FROM generate_series(1, 10) i;
CREATE FUNCTION slow_ones() RETURNS SETOF slow LANGUAGE sql AS 'SELECT * FROM public.slow';
CREATE TABLE kept_slow (id int PRIMARY KEY, s slow);
INSERT INTO kept_slow VALUES (1, ROW(1, 'q', 2.5, 1.5)), (2, NULL);
GRANT SELECT ON slow TO PUBLIC;
