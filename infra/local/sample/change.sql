-- A morning at the clinics: what changes between the demo's two backups.
\set ON_ERROR_STOP on
SET search_path = clinic, public;
UPDATE appointments SET status = 'completed' WHERE appointment_id BETWEEN 80000 AND 80800;
INSERT INTO appointments
SELECT 160000 + n, 1 + n % 40, md5('patient' || n)::uuid, 1 + n % 400, timestamptz '2026-11-21 08:00+00' + n * interval '7 minutes',
       interval '30 minutes', 'booked', NULL, NULL
FROM generate_series(1, 200) n;
UPDATE patients SET contact = contact || '{"reminders": true}' WHERE patient_id = md5('patient77')::uuid;
SELECT nextval('invoice_number');
