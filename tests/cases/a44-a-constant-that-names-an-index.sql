-- ends: whole
-- Constants of type regclass inside definitions: a CHECK, a default, a view, a function that name an index, a table of later, the table itself.
CREATE TABLE t (id int CONSTRAINT t_key PRIMARY KEY, v text);
CREATE INDEX t_v ON t (v);
ALTER TABLE t ADD COLUMN r regclass DEFAULT 't_v'::regclass;
ALTER TABLE t ADD CONSTRAINT of_t CHECK (tableoid = 't'::regclass);
ALTER TABLE t ADD CONSTRAINT not_ix CHECK (r <> 't_key'::regclass);
CREATE VIEW sizes AS SELECT pg_relation_size('t_v'::regclass) AS n, pg_relation_size('t_key'::regclass) AS k;
CREATE MATERIALIZED VIEW sizes_m AS SELECT 't_v'::regclass::text AS n;
CREATE TABLE zz_later (id int PRIMARY KEY);
ALTER TABLE t ADD COLUMN l regclass DEFAULT 'zz_later'::regclass;
INSERT INTO t (id, v, r, l) SELECT i, 'v' || i, 't', 't' FROM generate_series(1, 20) i;
