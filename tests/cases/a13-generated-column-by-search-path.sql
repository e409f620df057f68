-- ends: whole
-- Generated columns: one whose function leans on search_path, one whose function was changed after the rows came (the stored value is an older one's).
CREATE EXTENSION unaccent;
CREATE FUNCTION slug(value text) RETURNS text IMMUTABLE STRICT LANGUAGE sql AS 'SELECT replace(lower(unaccent($1)), '' '', ''-'')';
CREATE FUNCTION rate(v int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN v * 2; END';
CREATE TABLE page (id int PRIMARY KEY, title text NOT NULL, slug text GENERATED ALWAYS AS (slug(title)) STORED UNIQUE);
CREATE TABLE price (id int PRIMARY KEY, v int, rate int GENERATED ALWAYS AS (rate(v)) STORED);
INSERT INTO page (id, title) SELECT i, 'Éric ' || i FROM generate_series(1, 60) i;
INSERT INTO price (id, v) SELECT i, i FROM generate_series(1, 60) i;
CREATE OR REPLACE FUNCTION rate(v int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN v * 3; END';
