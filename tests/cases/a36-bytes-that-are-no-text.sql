-- ends: failed
-- aside: rows public.note
-- aside: rows public.parsed
-- Bytes in a text column that are no UTF-8, json that is no json, a time outside its range: they came by casts that check nothing (or an upgrade, or a damaged page).
CREATE TABLE note (id int PRIMARY KEY, body text);
INSERT INTO note SELECT i, 'n' || i FROM generate_series(1, 30) i;
CREATE CAST (bytea AS text) WITHOUT FUNCTION;
CREATE CAST (text AS json) WITHOUT FUNCTION;
INSERT INTO note VALUES (100, '\xff'::bytea::text), (101, '\x61c3'::bytea::text), (102, '\xeda080'::bytea::text);
CREATE TABLE parsed (id int PRIMARY KEY, j json);
INSERT INTO parsed SELECT i, '{"a":1}' FROM generate_series(1, 10) i;
INSERT INTO parsed VALUES (11, '{broken'::text::json);
CREATE TABLE after_it (id int PRIMARY KEY);
INSERT INTO after_it SELECT generate_series(1, 10);
DROP CAST (bytea AS text);
DROP CAST (text AS json);
