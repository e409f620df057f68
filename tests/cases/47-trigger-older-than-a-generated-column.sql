-- ends: rows-whole
-- aside: trigger space_version on public.space
-- A BEFORE trigger's WHEN on whole rows, older than the table's generated column: it runs, and cannot be made again.
CREATE TABLE space (id int PRIMARY KEY, name text[], version int NOT NULL DEFAULT 0);
CREATE FUNCTION next_version() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.version := OLD.version + 1; RETURN NEW; END';
CREATE TRIGGER space_version BEFORE UPDATE ON space FOR EACH ROW WHEN (OLD IS DISTINCT FROM NEW) EXECUTE FUNCTION next_version();
ALTER TABLE space ADD COLUMN depth int GENERATED ALWAYS AS (cardinality(name)) STORED;
INSERT INTO space (id, name) SELECT i, ARRAY['a', i::text] FROM generate_series(1, 100) i;
UPDATE space SET name = name || '{x}' WHERE id <= 10;
