-- ends: whole
-- regclass values of what exists only after the rows: an index and a constraint's; and of what was dropped.
CREATE TABLE job (id int PRIMARY KEY, at timestamptz NOT NULL DEFAULT '2020-01-01');
CREATE INDEX job_at ON job (at);
CREATE VIEW job_view AS SELECT * FROM job;
CREATE TABLE gone (id int);
CREATE TABLE watched (relation regclass PRIMARY KEY, note text);
INSERT INTO watched VALUES ('job', 'table'), ('job_at', 'index'), ('job_pkey', 'key'), ('job_view', 'view'), ('gone', 'dropped');
DROP TABLE gone;
