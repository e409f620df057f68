-- ends: whole
-- Indexes that are not valid (a CREATE INDEX CONCURRENTLY that failed): a dump leaves them out without a word; a unique one with duplicates; a constraint on one.
CREATE TABLE t (id int PRIMARY KEY, v int, w int);
INSERT INTO t SELECT i, i / 2, i FROM generate_series(1, 40) i;
CREATE INDEX t_v ON t (v);
CREATE UNIQUE INDEX t_v_one ON t (v, w);
CREATE INDEX t_w ON t (w);
UPDATE pg_index SET indisunique = false WHERE indexrelid = 't_v_one'::regclass;
UPDATE t SET w = v;
UPDATE pg_index SET indisvalid = false, indisunique = (indexrelid = 't_v_one'::regclass) WHERE indexrelid IN ('t_v'::regclass, 't_v_one'::regclass);
CREATE TABLE k (id int CONSTRAINT k_key PRIMARY KEY);
INSERT INTO k SELECT generate_series(1, 10);
UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'k_key'::regclass;
