-- ends: rows-whole
-- aside: function public.lost(integer)
-- aside: index public.leaning_i
-- aside: view public.leaning_v
-- A base type by internal functions, with casts, an operator class, an index, an aggregate; a shell type; a function in a library that is gone, with what leans on it.
CREATE TYPE code;
CREATE FUNCTION code_in(cstring) RETURNS code IMMUTABLE STRICT LANGUAGE internal AS 'textin';
CREATE FUNCTION code_out(code) RETURNS cstring IMMUTABLE STRICT LANGUAGE internal AS 'textout';
CREATE TYPE code (INPUT = code_in, OUTPUT = code_out, LIKE = text);
CREATE CAST (text AS code) WITHOUT FUNCTION AS ASSIGNMENT;
CREATE CAST (code AS text) WITHOUT FUNCTION AS IMPLICIT;
CREATE TYPE shell;
CREATE TABLE t (id int PRIMARY KEY, c code, cs code[]);
INSERT INTO t SELECT i, ('c' || i)::code, ARRAY[('d' || i)::code] FROM generate_series(1, 20) i;
CREATE FUNCTION lost(int) RETURNS int IMMUTABLE STRICT LANGUAGE c AS '$libdir/pg_trgm', 'set_limit';
CREATE TABLE leaning (id int PRIMARY KEY, v int DEFAULT 1);
INSERT INTO leaning SELECT generate_series(1, 20);
CREATE INDEX leaning_i ON leaning (id) WHERE id < 0 AND lost(id) > 0;
CREATE VIEW leaning_v AS SELECT lost(id) FROM leaning;
UPDATE pg_proc SET probin = '$libdir/case42_gone' WHERE proname = 'lost';
