-- ends: rows-whole
-- aside: acl pg_catalog.pg_authid
-- aside: acl plpgsql
-- aside: acl s
-- aside: acl s.e
-- aside: acl s.f()
-- aside: acl s.p()
-- aside: acl s.q
-- aside: acl s.t
-- aside: acl s.v
-- aside: acl server far
-- aside: default acl DEFAULT PRIVILEGES FOR TABLES
-- aside: large object 212121
-- Grants to a role that is gone, on a table and its column, a view, a sequence, functions, a schema, a type, a server, a language, a large object; beside grants that are good.
SELECT format('CREATE ROLE %I', r) FROM unnest('{case21_gone,case21_here}'::text[]) r WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = r) \gexec
CREATE SCHEMA s;
CREATE TABLE s.t (id int PRIMARY KEY, secret text);
INSERT INTO s.t SELECT i, 's' FROM generate_series(1, 20) i;
CREATE VIEW s.v AS SELECT id FROM s.t;
CREATE SEQUENCE s.q;
CREATE TYPE s.e AS ENUM ('a');
CREATE FUNCTION s.f() RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE PROCEDURE s.p() LANGUAGE sql AS 'SELECT 1';
CREATE EXTENSION postgres_fdw;
CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw;
SELECT lo_create(212121) \gset
GRANT USAGE ON SCHEMA s TO case21_here, case21_gone;
GRANT SELECT, UPDATE ON s.t TO case21_here, case21_gone WITH GRANT OPTION;
GRANT SELECT (secret), INSERT (id) ON s.t TO case21_gone;
GRANT SELECT ON s.v TO case21_gone, case21_here;
GRANT USAGE ON SEQUENCE s.q TO case21_gone;
GRANT USAGE ON TYPE s.e TO case21_gone;
REVOKE ALL ON FUNCTION s.f() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION s.f() TO case21_gone, case21_here;
GRANT EXECUTE ON PROCEDURE s.p() TO case21_gone;
GRANT USAGE ON FOREIGN SERVER far TO case21_gone;
GRANT USAGE ON LANGUAGE plpgsql TO case21_gone;
GRANT SELECT ON LARGE OBJECT 212121 TO case21_gone, case21_here;
ALTER DEFAULT PRIVILEGES IN SCHEMA s GRANT SELECT ON TABLES TO case21_gone, case21_here;
GRANT SELECT ON pg_authid TO case21_gone;
DELETE FROM pg_shdepend WHERE refclassid = 'pg_authid'::regclass AND refobjid = 'case21_gone'::regrole;
DROP ROLE case21_gone;
