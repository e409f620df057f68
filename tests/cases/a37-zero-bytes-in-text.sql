-- ends: failed
-- aside: rows public.note
-- A zero byte inside a text: the text form ends there, without an error.
CREATE TABLE note (id int PRIMARY KEY, body text);
INSERT INTO note SELECT i, 'n' || i FROM generate_series(1, 30) i;
CREATE CAST (bytea AS text) WITHOUT FUNCTION;
INSERT INTO note VALUES (100, '\x610062'::bytea::text);
DROP CAST (bytea AS text);
