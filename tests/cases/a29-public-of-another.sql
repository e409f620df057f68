-- ends: whole
-- Schema public belongs to another role, has a comment of its own and other grants.
SELECT format('CREATE ROLE %I', r) FROM unnest('{case29_owner,case29_user}'::text[]) r WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = r) \gexec
ALTER SCHEMA public OWNER TO case29_owner;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO case29_user;
COMMENT ON SCHEMA public IS 'ours';
CREATE TABLE item (id int PRIMARY KEY);
INSERT INTO item SELECT generate_series(1, 20);
