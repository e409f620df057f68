-- ends: whole
-- Only the index needs the function: rows load, the index does not.
CREATE EXTENSION unaccent;
CREATE FUNCTION plain(value text) RETURNS text IMMUTABLE STRICT LANGUAGE sql AS 'SELECT lower(unaccent($1))';
CREATE TABLE person (id int PRIMARY KEY, name text NOT NULL);
INSERT INTO person SELECT i, 'José ' || i FROM generate_series(1, 100) i;
CREATE INDEX person_plain ON person (plain(name));
CREATE INDEX person_name ON person (name);
