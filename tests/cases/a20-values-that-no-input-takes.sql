-- ends: failed
-- aside: rows public.acls
-- aside: rows public.stats
-- aside: rows public.trees
-- Values that cannot be read back: pg_node_tree, extended statistics' contents, aclitem of a role that is gone; beside those that can.
SELECT 'CREATE ROLE case20_gone' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'case20_gone') \gexec
CREATE TABLE src (a int DEFAULT 1 + 1, b text DEFAULT lower('X'));
INSERT INTO src SELECT i % 10, i % 10 FROM generate_series(1, 500) i;
CREATE STATISTICS src_s (ndistinct, dependencies, mcv) ON a, b FROM src;
ANALYZE src;
CREATE TABLE trees AS SELECT adnum::int AS n, adbin FROM pg_attrdef WHERE adrelid = 'src'::regclass;
CREATE TABLE stats AS SELECT 1 AS id, stxdndistinct, stxddependencies, stxdmcv FROM pg_statistic_ext_data;
CREATE TABLE acls (id int PRIMARY KEY, acl aclitem, acls aclitem[]);
INSERT INTO acls VALUES (1, 'postgres=r/postgres', '{postgres=r/postgres,=r/postgres}'), (2, 'case20_gone=r/postgres', NULL), (3, NULL, '{case20_gone=rw/postgres}');
CREATE TABLE odd (id int PRIMARY KEY, lsn pg_lsn, snap pg_snapshot, t tid, x xid8, i int2vector, o oidvector, r refcursor);
INSERT INTO odd VALUES (1, '0/1', '10:20:10,11', '(1,2)', '7', '1 2 3', '1 2', 'c');
DROP ROLE case20_gone;
