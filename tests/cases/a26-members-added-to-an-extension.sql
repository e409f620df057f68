-- ends: failed
-- aside: constraint leaning_pkey on public.leaning
-- aside: fk constraint leaning_m_fkey on public.leaning
-- aside: index public.by_index_f
-- aside: rows public.leaning
-- aside: table public.leaning
-- aside: view public.above
-- A table with rows, a function, a view and a type made members of an extension: a dump holds none of them; others lean on them.
CREATE EXTENSION hstore;
CREATE TABLE member (id int PRIMARY KEY, h hstore);
INSERT INTO member SELECT i, hstore('a', i::text) FROM generate_series(1, 40) i;
CREATE FUNCTION member_f(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1 + 1';
CREATE TYPE member_t AS (a int);
CREATE VIEW member_v AS SELECT id FROM member;
CREATE SEQUENCE member_s START 500;
CREATE TABLE leaning (id int PRIMARY KEY DEFAULT nextval('member_s'), m int REFERENCES member, v int GENERATED ALWAYS AS (member_f(m)) STORED, t member_t);
INSERT INTO leaning (m, t) SELECT i, ROW(i)::member_t FROM generate_series(1, 40) i;
CREATE TABLE by_index (id int PRIMARY KEY);
CREATE INDEX by_index_f ON by_index (member_f(id));
INSERT INTO by_index SELECT generate_series(1, 10);
CREATE VIEW above AS SELECT m.id FROM member_v m;
CREATE TRIGGER touch BEFORE UPDATE ON member FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
ALTER EXTENSION hstore ADD TABLE member;
ALTER EXTENSION hstore ADD FUNCTION member_f(int);
ALTER EXTENSION hstore ADD TYPE member_t;
ALTER EXTENSION hstore ADD VIEW member_v;
ALTER EXTENSION hstore ADD SEQUENCE member_s;
