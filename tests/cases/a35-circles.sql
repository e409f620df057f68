-- ends: whole
-- Circles: a default ↔ a function of the table's row type, views of each other, a view ↔ a function returning it, a table with its own row type's array, a typed table.
CREATE TABLE t (id int PRIMARY KEY, v int);
CREATE FUNCTION pick(r t) RETURNS int LANGUAGE sql AS 'SELECT r.v + 1';
CREATE FUNCTION next_v() RETURNS int LANGUAGE plpgsql AS 'DECLARE r public.t; BEGIN RETURN 5; END';
ALTER TABLE t ALTER v SET DEFAULT next_v();
CREATE FUNCTION atomic(i int) RETURNS int BEGIN ATOMIC SELECT max(v) FROM t WHERE id < i; END;
ALTER TABLE t ADD COLUMN w int DEFAULT atomic(3);
CREATE VIEW a AS SELECT 1 AS x;
CREATE VIEW b AS SELECT x FROM a;
CREATE OR REPLACE VIEW a AS SELECT x FROM b;
CREATE VIEW v AS SELECT id, v FROM t;
CREATE FUNCTION of_v(v) RETURNS int LANGUAGE sql AS 'SELECT $1.id';
CREATE FUNCTION all_v() RETURNS SETOF v LANGUAGE sql AS 'SELECT * FROM public.v';
CREATE OR REPLACE VIEW v AS SELECT t.id, t.v, of_v(NULL::v) AS f FROM t;
CREATE TABLE tree (id int PRIMARY KEY);
ALTER TABLE tree ADD COLUMN kids t[], ADD COLUMN one t;
CREATE TYPE point3 AS (x int, y int, z int);
CREATE TABLE points OF point3 (PRIMARY KEY (x), z WITH OPTIONS DEFAULT 7);
INSERT INTO t (id) SELECT i FROM generate_series(1, 20) i;
INSERT INTO tree SELECT i, ARRAY[ROW(i, 2, 3)::t], ROW(i, NULL, 3)::t FROM generate_series(1, 20) i;
INSERT INTO points SELECT i, i FROM generate_series(1, 20) i;
CREATE TABLE x (id int PRIMARY KEY, y int);
CREATE TABLE y (id int PRIMARY KEY, x int REFERENCES x);
ALTER TABLE x ADD FOREIGN KEY (y) REFERENCES y DEFERRABLE;
INSERT INTO x VALUES (1, NULL); INSERT INTO y VALUES (1, 1); UPDATE x SET y = 1;
CREATE TABLE self (id int PRIMARY KEY, CONSTRAINT of_self CHECK (tableoid <> 0));
INSERT INTO self VALUES (1);
