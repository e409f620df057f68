-- ends: failed
-- aside: rows public.by_type
-- aside: table public.by_default
-- aside: table public.by_type
-- aside: view public.by_view
-- aside: index public.by_index_double
-- aside: rule by_rule on public.by_index
-- aside: policy by_policy on public.by_index
-- aside: constraint by_type_pkey on public.by_type
-- Functions, a type and a table put into pg_catalog, a table in information_schema: a dump has none of them, and all that uses them breaks.
SET allow_system_table_mods = on;
CREATE FUNCTION pg_catalog.case17_double(v int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT v * 2';
CREATE TYPE pg_catalog.case17_mood AS ENUM ('sad', 'glad');
CREATE TABLE pg_catalog.case17_setting (k text PRIMARY KEY, v text);
INSERT INTO pg_catalog.case17_setting VALUES ('a', 'b');
RESET allow_system_table_mods;
CREATE TABLE information_schema.case17_hidden (id int PRIMARY KEY);
INSERT INTO information_schema.case17_hidden SELECT generate_series(1, 15);
CREATE TABLE by_default (id int PRIMARY KEY, v int DEFAULT case17_double(4));
INSERT INTO by_default SELECT generate_series(1, 20);
CREATE TABLE by_type (id int PRIMARY KEY, m case17_mood);
INSERT INTO by_type VALUES (1, 'sad'), (2, 'glad');
CREATE TABLE by_index (id int PRIMARY KEY);
CREATE INDEX by_index_double ON by_index (case17_double(id));
INSERT INTO by_index SELECT generate_series(1, 20);
CREATE VIEW by_view AS SELECT id, case17_double(id) AS d FROM by_index;
ALTER TABLE by_index ENABLE ROW LEVEL SECURITY;
CREATE POLICY by_policy ON by_index USING (case17_double(id) > 2);
CREATE RULE by_rule AS ON DELETE TO by_index WHERE case17_double(OLD.id) > 10 DO INSTEAD NOTHING;
CREATE TABLE plain (id int PRIMARY KEY);
INSERT INTO plain SELECT generate_series(1, 20);
