-- ends: rows-whole
-- aside: materialized view public.m
-- Things run as their owner, who lost the rights: a materialized view, an index's and a CHECK's function without EXECUTE for the owner, a schema without USAGE.
SELECT 'CREATE ROLE case54_owner' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'case54_owner') \gexec
CREATE SCHEMA closed;
CREATE TABLE closed.t (id int PRIMARY KEY, v text);
INSERT INTO closed.t SELECT i, 'v' || i FROM generate_series(1, 20) i;
CREATE MATERIALIZED VIEW m AS SELECT count(*) AS n FROM closed.t;
ALTER MATERIALIZED VIEW m OWNER TO case54_owner;
CREATE FUNCTION ours(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN $1; END';
CREATE TABLE theirs (id int PRIMARY KEY, t int REFERENCES closed.t, CONSTRAINT by_f CHECK (ours(id) > 0));
INSERT INTO theirs SELECT i, i FROM generate_series(1, 20) i;
CREATE INDEX theirs_f ON theirs (ours(id));
ALTER TABLE theirs OWNER TO case54_owner;
REVOKE ALL ON FUNCTION ours(int) FROM PUBLIC;
