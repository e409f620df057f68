-- The benchmark's database: `scale` is about the size of its tables in GB. Narrow rows, rows with jsonb and uuid, numbers and
-- times: about 30 % each; longer text and scanned documents: the rest. With the indexes that such tables have.
\set ON_ERROR_STOP on
SET client_min_messages = warning;

CREATE TABLE events (event_id bigint NOT NULL, clinic_id int NOT NULL, kind smallint NOT NULL, at timestamptz NOT NULL);
INSERT INTO events
SELECT n, 1 + n % 400, n % 23, timestamptz '2024-01-01' + n * interval '11 seconds'
FROM generate_series(1, (6000000 * :scale)::int) n;

CREATE TABLE patients (
    patient_id uuid NOT NULL, clinic_id int NOT NULL, full_name text NOT NULL, born_on date NOT NULL, email text,
    contact jsonb NOT NULL, created_at timestamptz NOT NULL
);
INSERT INTO patients
SELECT md5('patient' || n)::uuid, 1 + n % 400, 'Patient ' || md5(n::text), date '1935-01-01' + (n * 7919::bigint % 31000)::int,
       CASE WHEN n % 3 > 0 THEN 'patient' || n || '@mail.example' END,
       jsonb_build_object('phone', '+00 ' || 100000 + n, 'street', 'Street ' || n % 811, 'number', n % 120, 'reminders', n % 2 = 0,
                          'token', md5('t' || n)),
       timestamptz '2022-01-01 08:00+00' + n * interval '13 minutes'
FROM generate_series(1, (1250000 * :scale)::int) n;

CREATE TABLE measurements (
    patient int NOT NULL, at timestamptz NOT NULL, pulse smallint, pressure numeric(5, 1), temperature double precision,
    weight numeric(6, 2), taken interval, flags int
);
INSERT INTO measurements
SELECT n % 1000000, timestamptz '2025-01-01' + n * interval '7 seconds', 50 + n % 70, 90 + (n % 700) / 10.0, 35 + random() * 4,
       40 + (n % 9000) / 100.0, n % 900 * interval '1 second', n % 64
FROM generate_series(1, (2800000 * :scale)::int) n;

CREATE TABLE notes (note_id bigint NOT NULL, patient int NOT NULL, body text NOT NULL);
INSERT INTO notes
SELECT n, n % 1000000, 'Seen on day ' || n % 365 || '. ' || repeat('The patient reports less pain, walks better; ', 3 + n % 11) || md5(n::text)
FROM generate_series(1, (200000 * :scale)::int) n;

-- Scanned documents: values of 100 KB that do not compress, kept out of line.
CREATE TABLE documents (document_id bigint NOT NULL, patient int NOT NULL, scan bytea NOT NULL);
INSERT INTO documents
SELECT n, n % 1000000, (SELECT string_agg(sha512((n || '-' || part)::bytea), '') FROM generate_series(1, 1600) part)
FROM generate_series(1, (500 * :scale)::int) n;

ALTER TABLE events ADD PRIMARY KEY (event_id);
CREATE INDEX events_by_clinic ON events (clinic_id, at);
ALTER TABLE patients ADD PRIMARY KEY (patient_id);
CREATE INDEX patients_by_clinic ON patients (clinic_id);
CREATE INDEX measurements_by_patient ON measurements (patient, at);
ALTER TABLE notes ADD PRIMARY KEY (note_id);
VACUUM (FREEZE, ANALYZE);
