-- ends: rows-whole
-- aside: large object 240001
-- Large objects: one owned by a role that is gone, one granted to it, one good, with the table that names them.
SELECT 'CREATE ROLE case24_gone' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'case24_gone') \gexec
CREATE EXTENSION lo;
CREATE TABLE doc (id int PRIMARY KEY, body lo, raw oid);
SELECT lo_from_bytea(240001, '\x0102'), lo_from_bytea(240002, decode(repeat('ab', 5000), 'hex')), lo_from_bytea(240003, '') \gset
INSERT INTO doc VALUES (1, 240001, 240002), (2, 240003, 999999);
COMMENT ON LARGE OBJECT 240001 IS 'one';
GRANT SELECT ON LARGE OBJECT 240002 TO case24_gone;
ALTER LARGE OBJECT 240001 OWNER TO case24_gone;
DELETE FROM pg_shdepend WHERE refclassid = 'pg_authid'::regclass AND refobjid = 'case24_gone'::regrole;
DROP ROLE case24_gone;
