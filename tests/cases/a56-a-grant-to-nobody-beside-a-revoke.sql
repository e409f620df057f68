-- ends: rows-whole
-- aside: acl public.all_salaries()
-- aside: acl public.salary
-- One dangling grant in an object's list: a dump puts the list in one query, so the REVOKE FROM PUBLIC beside it is lost too, and everyone may call the function again.
SELECT format('CREATE ROLE %I', r) FROM unnest('{case56_gone,case56_app}'::text[]) r WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = r) \gexec
CREATE TABLE salary (id int PRIMARY KEY, amount int);
INSERT INTO salary SELECT i, i * 1000 FROM generate_series(1, 20) i;
CREATE FUNCTION all_salaries() RETURNS SETOF salary SECURITY DEFINER LANGUAGE sql AS 'SELECT * FROM public.salary';
REVOKE ALL ON FUNCTION all_salaries() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION all_salaries() TO case56_gone, case56_app;
GRANT SELECT ON salary TO case56_app WITH GRANT OPTION;
SET ROLE case56_app; GRANT SELECT ON salary TO case56_gone; RESET ROLE;
DELETE FROM pg_shdepend WHERE refclassid = 'pg_authid'::regclass AND refobjid = 'case56_gone'::regrole;
DROP ROLE case56_gone;
