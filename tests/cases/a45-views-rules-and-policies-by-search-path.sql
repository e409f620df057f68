-- ends: whole
-- View, rule, policy, trigger and index over functions that lean on search_path; a function with SET search_path FROM CURRENT; a body that is wrong now; settings of the database and of a role in it.
SELECT 'CREATE ROLE case45_user' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'case45_user') \gexec
CREATE SCHEMA tools;
SELECT format('ALTER DATABASE %I SET search_path = tools, public', current_database()) \gexec
SELECT format('ALTER ROLE case45_user IN DATABASE %I SET work_mem = %L', current_database(), '8MB') \gexec
SELECT format('COMMENT ON DATABASE %I IS %L', current_database(), 'of the case') \gexec
SELECT format('GRANT CONNECT, TEMP ON DATABASE %I TO case45_user', current_database()) \gexec
SET search_path = tools, public;
CREATE TABLE tools.mine (who text);
CREATE FUNCTION tools.is_mine(t text) RETURNS bool STABLE LANGUAGE sql AS 'SELECT EXISTS (SELECT FROM mine WHERE who = t)';
CREATE FUNCTION tools.fixed(t text) RETURNS bool STABLE SET search_path FROM CURRENT LANGUAGE sql AS 'SELECT EXISTS (SELECT FROM mine WHERE who = t)';
CREATE FUNCTION tools.wrong() RETURNS int LANGUAGE sql AS 'SELECT 1 FROM mine';
CREATE FUNCTION tools.logged() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO mine VALUES (''t''); RETURN NEW; END';
CREATE TABLE public.doc (id int PRIMARY KEY, who text, ok bool DEFAULT tools.is_mine('x'), CONSTRAINT fixed_path CHECK (tools.fixed(who) OR who <> ''));
ALTER TABLE public.doc ENABLE ROW LEVEL SECURITY; ALTER TABLE public.doc FORCE ROW LEVEL SECURITY;
CREATE POLICY mine ON public.doc USING (tools.is_mine(who)) WITH CHECK (tools.fixed(who));
CREATE VIEW public.mine_only AS SELECT * FROM public.doc WHERE tools.is_mine(who);
CREATE RULE keep AS ON DELETE TO public.doc WHERE tools.is_mine(OLD.who) DO INSTEAD NOTHING;
CREATE TRIGGER logged AFTER INSERT ON public.doc FOR EACH ROW WHEN (tools.is_mine(NEW.who)) EXECUTE FUNCTION tools.logged();
INSERT INTO public.doc SELECT i, 'w' || i FROM generate_series(1, 20) i;
