-- ends: rows-whole
-- aside: materialized view public.owned
-- aside: materialized view public.upper_one
-- Materialized views on others: one below is unfilled, one above still full; one whose function leans on search_path with one above it; one whose owner lost its rights; one by now().
SELECT 'CREATE ROLE case15_owner' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'case15_owner') \gexec
CREATE TABLE base (id int PRIMARY KEY, v text);
INSERT INTO base SELECT i, 'v' || i % 5 FROM generate_series(1, 100) i;
CREATE MATERIALIZED VIEW lower_one AS SELECT v, count(*) AS n FROM base GROUP BY v;
CREATE MATERIALIZED VIEW upper_one AS SELECT sum(n) AS n FROM lower_one;
REFRESH MATERIALIZED VIEW lower_one WITH NO DATA;
CREATE FUNCTION how_many() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM base';
CREATE MATERIALIZED VIEW counted AS SELECT how_many() AS n;
CREATE MATERIALIZED VIEW counted_above AS SELECT n + 1 AS n FROM counted;
CREATE UNIQUE INDEX ON counted_above (n);
CREATE MATERIALIZED VIEW owned AS SELECT * FROM base;
ALTER MATERIALIZED VIEW owned OWNER TO case15_owner;
CREATE MATERIALIZED VIEW fine AS SELECT v FROM base WHERE id < 10;
