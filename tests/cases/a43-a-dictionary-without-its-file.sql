-- ends: rows-whole
-- aside: text search configuration public.conf
-- aside: text search dictionary public.words
-- A text search dictionary whose file is not on this host, its configuration, a generated column and an index by it.
CREATE TEXT SEARCH DICTIONARY words (TEMPLATE = synonym, SYNONYMS = synonym_sample);
CREATE TEXT SEARCH CONFIGURATION conf (COPY = simple);
ALTER TEXT SEARCH CONFIGURATION conf ALTER MAPPING FOR asciiword WITH words, simple;
CREATE TABLE doc (id int PRIMARY KEY, body text, tsv tsvector GENERATED ALWAYS AS (to_tsvector('public.conf'::regconfig, body)) STORED);
INSERT INTO doc SELECT i, 'postgres word ' || i FROM generate_series(1, 20) i;
CREATE INDEX doc_tsv ON doc USING gin (tsv);
CREATE TABLE by_index (id int PRIMARY KEY, body text);
INSERT INTO by_index SELECT i, 'w ' || i FROM generate_series(1, 20) i;
CREATE INDEX by_index_i ON by_index USING gin (to_tsvector('public.conf'::regconfig, body));
UPDATE pg_ts_dict SET dictinitoption = 'synonyms = ''case43_gone''' WHERE dictname = 'words';
