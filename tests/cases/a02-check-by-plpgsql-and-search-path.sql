-- ends: whole
-- A CHECK whose plpgsql function names another table without its schema; one in a schema only the database's search_path has.
CREATE SCHEMA rules;
SELECT format('ALTER DATABASE %I SET search_path = app, rules, public', current_database()) \gexec
CREATE SCHEMA app;
SET search_path = app, rules, public;
CREATE TABLE rules.allowed (kind text PRIMARY KEY);
INSERT INTO rules.allowed VALUES ('a'), ('b');
CREATE FUNCTION rules.is_allowed(k text) RETURNS bool LANGUAGE plpgsql AS 'BEGIN RETURN EXISTS (SELECT FROM allowed WHERE kind = k); END';
CREATE TABLE app.entry (id int PRIMARY KEY, kind text CONSTRAINT kind_allowed CHECK (rules.is_allowed(kind)));
INSERT INTO app.entry SELECT i, CASE WHEN i % 2 = 0 THEN 'a' ELSE 'b' END FROM generate_series(1, 100) i;
CREATE TABLE app.no_check (id int PRIMARY KEY);
INSERT INTO app.no_check SELECT generate_series(1, 10);
