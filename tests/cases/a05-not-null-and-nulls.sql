-- ends: rows-whole
-- aside: not null public.filled
-- aside: not null public.forced
-- aside: not null public.kid
-- NOT NULL that rows break: a child that dropped what its parent has, a catalog update, a domain made NOT NULL behind composites.
CREATE TABLE base (id int PRIMARY KEY, name text NOT NULL);
CREATE TABLE kid (extra int) INHERITS (base);
ALTER TABLE kid ALTER name DROP NOT NULL;
INSERT INTO base SELECT i, 'n' || i FROM generate_series(1, 10) i;
INSERT INTO kid SELECT i, NULLIF('n' || i, 'n3'), i FROM generate_series(1, 10) i;
CREATE TABLE forced (id int PRIMARY KEY, v text);
INSERT INTO forced SELECT i, NULLIF('v' || i, 'v5') FROM generate_series(1, 10) i;
UPDATE pg_attribute SET attnotnull = true WHERE attrelid = 'forced'::regclass AND attname = 'v';
CREATE DOMAIN filled AS text;
CREATE TYPE pair AS (a filled, b int);
CREATE TABLE pairs (id int PRIMARY KEY, p pair);
INSERT INTO pairs SELECT i, ROW(NULL, i)::pair FROM generate_series(1, 10) i;
UPDATE pg_type SET typnotnull = true WHERE oid = 'filled'::regtype;
