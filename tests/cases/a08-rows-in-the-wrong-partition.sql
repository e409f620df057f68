-- ends: failed
-- aside: rows public.event_2023
-- Rows outside their partition's bounds: one that another partition would take, one that none would. They came while a CHECK vouched for the bound.
CREATE TABLE event (id int NOT NULL, day date NOT NULL, note text) PARTITION BY RANGE (day);
CREATE TABLE event_2023 (id int NOT NULL, day date NOT NULL, note text);
CREATE TABLE event_2024 PARTITION OF event FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
INSERT INTO event_2023 SELECT i, date '2023-01-01' + i, 'e' FROM generate_series(1, 100) i;
INSERT INTO event_2023 VALUES (1001, '2024-05-05', 'belongs next door'), (1002, '1999-05-05', 'belongs nowhere');
ALTER TABLE event_2023 ADD CONSTRAINT vouched CHECK (day >= '2023-01-01' AND day < '2024-01-01') NOT VALID;
UPDATE pg_constraint SET convalidated = true WHERE conname = 'vouched';
ALTER TABLE event ATTACH PARTITION event_2023 FOR VALUES FROM ('2023-01-01') TO ('2024-01-01');
ALTER TABLE event_2023 DROP CONSTRAINT vouched;
INSERT INTO event SELECT i, date '2024-01-01' + i, 'e' FROM generate_series(1, 100) i;
-- the same by text, as when a collation's order changed under it
CREATE TABLE person (name text COLLATE "C" NOT NULL, id int) PARTITION BY RANGE (name);
CREATE TABLE person_am (name text COLLATE "C" NOT NULL, id int);
INSERT INTO person_am VALUES ('Anna', 1), ('Max', 2), ('anna', 3);
ALTER TABLE person_am ADD CONSTRAINT vouched CHECK (name >= 'A' AND name < 'N') NOT VALID;
UPDATE pg_constraint SET convalidated = true WHERE conname = 'vouched';
ALTER TABLE person ATTACH PARTITION person_am FOR VALUES FROM ('A') TO ('N');
ALTER TABLE person_am DROP CONSTRAINT vouched;
CREATE TABLE person_nz PARTITION OF person FOR VALUES FROM ('N') TO (MAXVALUE);
INSERT INTO person VALUES ('Zoe', 4), ('otto', 5);
