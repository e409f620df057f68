-- ends: rows-whole
-- aside: collation public.far
-- aside: table public.by_far
-- A collation the host does not have (libc), one with an older version, a nondeterministic one; a table, a key, a partition by each.
CREATE COLLATION far (provider = libc, locale = 'C');
CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE COLLATION aged (provider = icu, locale = 'de-u-kn');
CREATE TABLE by_far (id int PRIMARY KEY, name text COLLATE far UNIQUE);
INSERT INTO by_far SELECT i, 'n' || i FROM generate_series(1, 20) i;
CREATE TABLE by_loose (name text COLLATE loose PRIMARY KEY) ;
INSERT INTO by_loose VALUES ('Ä'), ('b');
CREATE TABLE by_aged (id int, name text COLLATE aged) PARTITION BY RANGE (name);
CREATE TABLE by_aged_1 PARTITION OF by_aged FOR VALUES FROM ('a') TO ('m');
INSERT INTO by_aged VALUES (1, 'a1'), (2, 'a10'), (3, 'é');
UPDATE pg_collation SET collcollate = 'xx_XX.utf8', collctype = 'xx_XX.utf8' WHERE collname = 'far';
UPDATE pg_collation SET collversion = '1.1' WHERE collname = 'aged';
