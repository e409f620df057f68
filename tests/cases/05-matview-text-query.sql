-- ends: whole
-- A materialized view with a table's name inside a string: it resolves by search_path alone.
CREATE TABLE article (id int PRIMARY KEY, body text);
INSERT INTO article SELECT i, 'word' || i % 7 || ' term' || i % 3 FROM generate_series(1, 100) i;
CREATE MATERIALIZED VIEW word AS SELECT word, ndoc, nentry FROM ts_stat('SELECT to_tsvector(''simple'', body) FROM article');
CREATE UNIQUE INDEX ON word (word);
CREATE TABLE kept (id int PRIMARY KEY);
INSERT INTO kept SELECT generate_series(1, 10);
