//! A small database with something of everything that a backup must carry.

/// Tables in both COPY formats, partitions, keys, policies, triggers, views, sequences, an extension, large objects, a comment, a rule, extended statistics, a cast.
pub const CLINIC: &str = r"
CREATE EXTENSION pgcrypto;
CREATE SCHEMA clinic;
CREATE TYPE clinic.mood AS ENUM ('calm', 'tense');
CREATE TYPE clinic.address AS (street text, town text);
CREATE TABLE clinic.patient (
    id bigserial PRIMARY KEY, name text NOT NULL CHECK (name <> ''), born date, mood clinic.mood, home clinic.address);
CREATE INDEX patient_name ON clinic.patient (name);
ALTER TABLE clinic.patient ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON clinic.patient USING (name = current_user);
CREATE TABLE clinic.account (id int PRIMARY KEY, balance numeric NOT NULL, note text);
CREATE TABLE clinic.visit (id int, at timestamptz NOT NULL, patient bigint REFERENCES clinic.patient, PRIMARY KEY (id, at))
    PARTITION BY RANGE (at);
CREATE TABLE clinic.visit_2025 PARTITION OF clinic.visit FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE clinic.visit_2026 PARTITION OF clinic.visit FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE TABLE clinic.remark (text text);
CREATE TABLE clinic.nothing_yet (id int);
CREATE VIEW clinic.tense AS SELECT id, name FROM clinic.patient WHERE mood = 'tense';
CREATE SEQUENCE clinic.invoice START 1000 INCREMENT 10;
CREATE FUNCTION clinic.stamp() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.note := NEW.note || ''!''; RETURN NEW; END';

INSERT INTO clinic.patient (name, born, mood, home)
SELECT 'patient ' || i, date '1950-01-01' + i, CASE i % 3 WHEN 0 THEN 'tense' ELSE 'calm' END::clinic.mood,
       ROW('street ' || i, 'town ' || i % 7)::clinic.address FROM generate_series(1, 500) i;
INSERT INTO clinic.account SELECT i, i * 10.50, 'note ' || i FROM generate_series(1, 200) i;
INSERT INTO clinic.visit SELECT i, timestamptz '2025-06-01' + i * interval '1 day', i FROM generate_series(1, 400) i;
INSERT INTO clinic.remark VALUES ('once'), ('twice'), ('twice');
CREATE TRIGGER stamp BEFORE UPDATE ON clinic.account FOR EACH ROW EXECUTE FUNCTION clinic.stamp();
CREATE MATERIALIZED VIEW clinic.by_town AS SELECT (home).town, count(*) FROM clinic.patient GROUP BY 1;
SELECT nextval('clinic.invoice'), nextval('clinic.invoice');
COMMENT ON TABLE clinic.patient IS 'who comes';
CREATE RULE spare AS ON UPDATE TO clinic.nothing_yet DO INSTEAD NOTHING;
CREATE STATISTICS clinic.together ON name, born FROM clinic.patient;
CREATE CAST (clinic.mood AS int) WITH INOUT;
SELECT lo_from_bytea(50001, 'a scanned letter'), lo_from_bytea(50002, decode(repeat('ab', 300000), 'hex')), lo_from_bytea(50003, '');
COMMENT ON LARGE OBJECT 50001 IS 'by hand';
";

/// What [`CLINIC`] has.
pub const ROWS: u64 = 500 + 200 + 400 + 3;
pub const LARGE_OBJECTS: u64 = 3;

/// Relations outside PostgreSQL's own schemas, as the server counts them: `name|kind` a line.
pub const RELATIONS: &str = "
SELECT n.nspname || '.' || c.relname || '|' || c.relkind::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
ORDER BY n.nspname, c.relname";
