-- ends: failed
-- aside: comment EXTENSION case48_gone
-- aside: constraint t_c_key on public.t
-- aside: constraint t_pkey on public.t
-- aside: extension case48_gone
-- aside: fk constraint fk_t_fkey on public.fk
-- aside: rows public.t
-- aside: table public.t
-- aside: view public.tv
-- An extension whose files are not on the host: its types, operators and functions cannot come back; tables with and without them.
CREATE SCHEMA ext;
CREATE EXTENSION citext SCHEMA ext;
CREATE EXTENSION hstore SCHEMA ext;
CREATE TABLE t (id int PRIMARY KEY, c ext.citext UNIQUE, v int);
INSERT INTO t SELECT i, 'c' || i, i FROM generate_series(1, 20) i;
CREATE TABLE fk (id int PRIMARY KEY, t int REFERENCES t);
INSERT INTO fk SELECT i, i FROM generate_series(1, 20) i;
CREATE VIEW tv AS SELECT id, v FROM t;
CREATE TABLE h (id int PRIMARY KEY, h ext.hstore);
INSERT INTO h SELECT i, 'a=>1' FROM generate_series(1, 20) i;
COMMENT ON EXTENSION citext IS 'gone';
UPDATE pg_extension SET extname = 'case48_gone' WHERE extname = 'citext';
