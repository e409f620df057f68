-- ends: whole
-- The schema public was renamed; a new one has not been made. Tables in it, a function by its old name.
ALTER SCHEMA public RENAME TO main;
COMMENT ON SCHEMA main IS 'was public';
CREATE TABLE main.item (id serial PRIMARY KEY, name text);
INSERT INTO main.item (name) SELECT 'i' || i FROM generate_series(1, 30) i;
SELECT format('ALTER DATABASE %I SET search_path = main', current_database()) \gexec
