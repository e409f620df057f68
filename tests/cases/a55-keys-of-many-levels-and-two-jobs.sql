-- ends: whole
-- A key on partitions of two levels, and a foreign key to it: with two jobs pg_restore now and then leaves the root's key not valid (two ATTACHes at once), silently unless a foreign key needs it.
CREATE TABLE r (a int, b int, PRIMARY KEY (a, b)) PARTITION BY LIST (a);
SELECT format('CREATE TABLE r%s PARTITION OF r FOR VALUES IN (%1$s) PARTITION BY LIST (b)', i) FROM generate_series(1, 8) i \gexec
SELECT format('CREATE TABLE r%s_%s PARTITION OF r%1$s FOR VALUES IN (%2$s)', i, j) FROM generate_series(1, 8) i, generate_series(1, 2) j \gexec
INSERT INTO r SELECT i, j FROM generate_series(1, 8) i, generate_series(1, 2) j;
CREATE TABLE f (a int, b int, FOREIGN KEY (a, b) REFERENCES r);
INSERT INTO f SELECT * FROM r;
CREATE TABLE silent (a int, b int, UNIQUE (a, b)) PARTITION BY LIST (a);
SELECT format('CREATE TABLE silent%s PARTITION OF silent FOR VALUES IN (%1$s) PARTITION BY LIST (b)', i) FROM generate_series(1, 4) i \gexec
SELECT format('CREATE TABLE silent%s_%s PARTITION OF silent%1$s FOR VALUES IN (%2$s)', i, j) FROM generate_series(1, 4) i, generate_series(1, 2) j \gexec
