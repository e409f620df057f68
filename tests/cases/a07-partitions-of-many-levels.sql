-- ends: whole
-- List over range over hash by enum; partitions with other column orders, dropped columns, generated columns; a primary key with the enum, a foreign key to it.
CREATE TYPE lane AS ENUM ('slow', 'fast', 'night', 'sea');
CREATE TABLE run (region text NOT NULL, id int NOT NULL, lane lane NOT NULL, day date NOT NULL, cost int DEFAULT 1, twice int GENERATED ALWAYS AS (cost * 2) STORED,
    PRIMARY KEY (region, day, lane, id)) PARTITION BY LIST (region);
CREATE TABLE run_eu PARTITION OF run FOR VALUES IN ('eu', 'uk') PARTITION BY RANGE (day);
CREATE TABLE run_us (gone int, cost int DEFAULT 1, twice int GENERATED ALWAYS AS (cost * 2) STORED, day date NOT NULL, lane lane NOT NULL, id int NOT NULL, region text NOT NULL) PARTITION BY HASH (lane);
ALTER TABLE run_us DROP COLUMN gone;
ALTER TABLE run ATTACH PARTITION run_us FOR VALUES IN ('us');
CREATE TABLE run_rest PARTITION OF run DEFAULT;
CREATE TABLE run_eu_old PARTITION OF run_eu FOR VALUES FROM (MINVALUE) TO ('2024-01-01') PARTITION BY HASH (lane);
CREATE TABLE run_eu_new PARTITION OF run_eu FOR VALUES FROM ('2024-01-01') TO (MAXVALUE);
SELECT format('CREATE TABLE %s_%s PARTITION OF %1$s FOR VALUES WITH (MODULUS 3, REMAINDER %2$s)', t, r) FROM unnest('{run_us,run_eu_old}'::text[]) t, generate_series(0, 2) r \gexec
INSERT INTO run (region, id, lane, day, cost) SELECT (ARRAY['eu', 'us', 'uk', 'zz'])[1 + i % 4], i, (enum_range(NULL::lane))[1 + i / 4 % 4], date '2023-06-01' + i, i FROM generate_series(1, 400) i;
CREATE TABLE leg (id int PRIMARY KEY, region text, day date, lane lane, run int, FOREIGN KEY (region, day, lane, run) REFERENCES run);
INSERT INTO leg SELECT row_number() OVER (), region, day, lane, id FROM run;
