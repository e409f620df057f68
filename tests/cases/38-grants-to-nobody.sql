-- ends: rows-whole
-- aside: acl public.add(a integer)
-- aside: acl public.ledger
-- Grants to a role that is gone without its grants being taken: an old wound of the catalog.
SELECT 'CREATE ROLE case38_ghost' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'case38_ghost') \gexec
CREATE TABLE ledger (id int PRIMARY KEY);
INSERT INTO ledger SELECT generate_series(1, 50);
GRANT SELECT ON ledger TO case38_ghost;
CREATE FUNCTION add(a int) RETURNS int LANGUAGE sql AS 'SELECT a';
GRANT EXECUTE ON FUNCTION add TO case38_ghost;
DELETE FROM pg_shdepend WHERE refclassid = 'pg_authid'::regclass AND refobjid = 'case38_ghost'::regrole;
DROP ROLE case38_ghost;
