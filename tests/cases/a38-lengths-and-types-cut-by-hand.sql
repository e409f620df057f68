-- ends: failed
-- aside: rows public.n
-- aside: rows public.t
-- Columns made narrower in the catalog, as old advice had it: rows are longer than their type; numerics outside their scale; an enum whose label is gone.
CREATE TABLE t (id int PRIMARY KEY, code varchar(40), fixed char(5), n numeric(10, 2), ok text);
INSERT INTO t SELECT i, 'code number ' || i, 'ab', i * 1000, 'x' FROM generate_series(1, 30) i;
UPDATE pg_attribute SET atttypmod = 8 + 4 WHERE attrelid = 't'::regclass AND attname = 'code';
CREATE TABLE n (id int PRIMARY KEY, n numeric(10, 2));
INSERT INTO n SELECT i, i * 1000.25 FROM generate_series(1, 30) i;
UPDATE pg_attribute SET atttypmod = (4 << 16 | 1) + 4 WHERE attrelid = 'n'::regclass AND attname = 'n';
