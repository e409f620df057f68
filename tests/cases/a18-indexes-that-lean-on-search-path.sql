-- ends: whole
-- Expression index, partial predicate, extended statistics, exclusion and unique index whose functions lean on search_path; earthdistance in a schema of its own.
CREATE SCHEMA ext;
SELECT format('ALTER DATABASE %I SET search_path = public, ext', current_database()) \gexec
SET search_path = public, ext;
CREATE EXTENSION cube SCHEMA ext;
CREATE EXTENSION earthdistance SCHEMA ext;
CREATE EXTENSION unaccent SCHEMA ext;
CREATE FUNCTION plain(v text) RETURNS text IMMUTABLE STRICT LANGUAGE sql AS 'SELECT lower(unaccent(v))';
CREATE FUNCTION plain2(v text) RETURNS text IMMUTABLE STRICT LANGUAGE plpgsql AS 'BEGIN RETURN lower(unaccent(v)); END';
CREATE TABLE place (id int PRIMARY KEY, name text, lat float8, lon float8);
INSERT INTO place SELECT i, 'Łódź ' || i, i, i + 1 FROM generate_series(1, 60) i;
CREATE INDEX place_earth ON place USING gist (ll_to_earth(lat, lon));
CREATE UNIQUE INDEX place_plain2 ON place (plain2(name));
CREATE INDEX place_partial ON place (id) WHERE plain(name) LIKE 'l%';
CREATE STATISTICS place_stat ON plain(name), id FROM place;
ANALYZE place;
CREATE TABLE only_stat (id int, name text);
INSERT INTO only_stat SELECT i, 'x' FROM generate_series(1, 10) i;
CREATE STATISTICS only_stat_s ON plain(name), id FROM only_stat;
