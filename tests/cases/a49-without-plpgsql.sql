-- ends: whole
-- The extension plpgsql was dropped, and public has only a reader: a new database has both again.
DROP EXTENSION plpgsql;
REVOKE USAGE ON SCHEMA public FROM PUBLIC;
CREATE TABLE t (id int PRIMARY KEY);
INSERT INTO t SELECT generate_series(1, 10);
