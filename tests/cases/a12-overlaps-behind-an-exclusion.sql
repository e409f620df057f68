-- ends: rows-whole
-- aside: constraint no_overlap on public.booking
-- aside: constraint part_1_pkey on public.part_1
-- aside: index attach public.part_1_pkey
-- Rows that an exclusion constraint should not allow, and a primary key on a partitioned table with duplicates in one partition.
CREATE EXTENSION btree_gist;
CREATE TABLE booking (id int PRIMARY KEY, room int, during tsrange, CONSTRAINT no_overlap EXCLUDE USING gist (room WITH =, during WITH &&));
INSERT INTO booking SELECT i, i % 3, tsrange(timestamp '2024-01-01' + i * interval '1 h', timestamp '2024-01-01' + (i + 1) * interval '1 h') FROM generate_series(1, 30) i;
UPDATE pg_index SET indisready = false WHERE indexrelid = 'no_overlap'::regclass;
INSERT INTO booking VALUES (100, 1, '[2024-01-01 01:00,2024-01-03 00:00)');
UPDATE pg_index SET indisready = true WHERE indexrelid = 'no_overlap'::regclass;
CREATE TABLE part (id int, k int, PRIMARY KEY (id, k)) PARTITION BY LIST (k);
CREATE TABLE part_1 PARTITION OF part FOR VALUES IN (1);
CREATE TABLE part_2 PARTITION OF part FOR VALUES IN (2);
INSERT INTO part SELECT i, 1 + i % 2 FROM generate_series(1, 40) i;
UPDATE pg_index SET indisunique = false WHERE indrelid = 'part_1'::regclass;
INSERT INTO part_1 VALUES (2, 1);
UPDATE pg_index SET indisunique = true WHERE indrelid = 'part_1'::regclass;
