-- ends: rows-whole
-- aside: function public.similarity(text, text)
-- Functions and an operator taken out of an extension (they are dumped on their own, and there already when restored); an extension's table with rows of one's own, and changed grants.
SELECT 'CREATE ROLE case27_reader' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'case27_reader') \gexec
CREATE EXTENSION citext;
CREATE EXTENSION pg_trgm;
ALTER EXTENSION pg_trgm DROP FUNCTION similarity(text, text);
COMMENT ON FUNCTION similarity(text, text) IS 'ours now';
REVOKE ALL ON FUNCTION word_similarity(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION word_similarity(text, text) TO case27_reader;
CREATE TABLE t (id int PRIMARY KEY, c citext UNIQUE);
INSERT INTO t SELECT i, 'C' || i FROM generate_series(1, 20) i;
CREATE INDEX t_trgm ON t USING gin ((c::text) gin_trgm_ops);
