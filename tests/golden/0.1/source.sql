CREATE EXTENSION pgcrypto;
CREATE TYPE mood AS ENUM ('calm', 'tense');
CREATE TYPE address AS (street text, town text);
CREATE TABLE patient (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL, mood mood, home address);
CREATE TABLE visit (id int PRIMARY KEY, patient int REFERENCES patient, fee numeric) PARTITION BY RANGE (id);
CREATE TABLE visit_1 PARTITION OF visit FOR VALUES FROM (0) TO (50);
CREATE TABLE visit_2 PARTITION OF visit DEFAULT;
CREATE MATERIALIZED VIEW fees AS SELECT patient, sum(fee) FROM visit GROUP BY 1;
CREATE INDEX ON patient (name);
INSERT INTO patient (name, mood, home) SELECT 'patient ' || i, 'calm', ROW('street ' || i, 'town ' || i)::address FROM generate_series(1, 20) i;
INSERT INTO visit SELECT i, 1 + i % 20, i * 1.5 FROM generate_series(1, 80) i;
REFRESH MATERIALIZED VIEW fees;
SELECT lo_from_bytea(50001, 'a scanned letter')
