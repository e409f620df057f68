-- ends: whole
-- Hash partitions by a composite with an enum, below a list; a foreign key and a trigger over them; one leaf with rows of a default's text.
CREATE TYPE step AS ENUM ('one', 'two', 'three', 'four', 'five');
CREATE TYPE place AS (step step, at int);
CREATE DOMAIN step_d AS step;
CREATE TABLE log (zone text, id int, p place, d step_d) PARTITION BY LIST (zone);
CREATE TABLE log_a PARTITION OF log FOR VALUES IN ('a') PARTITION BY HASH (p);
CREATE TABLE log_b PARTITION OF log FOR VALUES IN ('b') PARTITION BY HASH (d);
CREATE TABLE log_c PARTITION OF log FOR VALUES IN ('c') PARTITION BY HASH ((lower(zone)), id);
SELECT format('CREATE TABLE %s_%s PARTITION OF %1$s FOR VALUES WITH (MODULUS 4, REMAINDER %2$s)', t, r) FROM unnest('{log_a,log_b,log_c}'::text[]) t, generate_series(0, 3) r \gexec
INSERT INTO log SELECT chr(97 + i % 3), i, ROW((enum_range(NULL::step))[1 + i % 5], i % 3)::place, (enum_range(NULL::step))[1 + i % 5] FROM generate_series(1, 300) i;
