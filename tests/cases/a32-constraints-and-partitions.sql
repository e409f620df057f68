-- ends: whole
-- Attached with other constraint and index names, a detached one, keys on partitions only, an index not yet valid on the root, a foreign key on one partition, a NOT VALID check, columns with other defaults.
CREATE TABLE t (id int NOT NULL, k int NOT NULL, v text DEFAULT 'root', CONSTRAINT v_short CHECK (length(v) < 50)) PARTITION BY LIST (k);
CREATE TABLE t1 (v text DEFAULT 'one', k int NOT NULL, id int NOT NULL, CONSTRAINT t1_odd_key PRIMARY KEY (id, k), CONSTRAINT v_short CHECK (length(v) < 50), CONSTRAINT t1_own CHECK (k = 1));
ALTER TABLE t ATTACH PARTITION t1 FOR VALUES IN (1);
CREATE TABLE t2 PARTITION OF t (v DEFAULT 'two') FOR VALUES IN (2);
CREATE TABLE t3 PARTITION OF t FOR VALUES IN (3);
CREATE TABLE td PARTITION OF t DEFAULT;
INSERT INTO t (id, k) SELECT i, 1 + i % 4 FROM generate_series(1, 80) i;
ALTER TABLE t ADD CONSTRAINT t_key PRIMARY KEY (id, k);
ALTER TABLE t ADD CONSTRAINT k_pos CHECK (k > 0) NOT VALID;
CREATE INDEX t_v ON ONLY t (v);
CREATE INDEX t1_v_odd ON t1 (v);
ALTER INDEX t_v ATTACH PARTITION t1_v_odd;
CREATE INDEX t2_v ON t2 (v);
ALTER TABLE t DETACH PARTITION t3;
CREATE TABLE r (id int PRIMARY KEY, t int, k int, CONSTRAINT r_t FOREIGN KEY (t, k) REFERENCES t, CONSTRAINT r_t2 FOREIGN KEY (t, k) REFERENCES t2);
ALTER TABLE t ADD CONSTRAINT t_self FOREIGN KEY (id, k) REFERENCES t;
ALTER TABLE t1 ALTER v SET NOT NULL;
ALTER TABLE t2 ALTER v SET STATISTICS 500;
ALTER TABLE t ALTER CONSTRAINT t_self DEFERRABLE INITIALLY DEFERRED;
