-- One of every kind of object that PostgreSQL 14 to 18 keeps in a database: what a backup must bring back.
--
--     createdb zoo && psql --set=ON_ERROR_STOP=1 --file=zoo.sql zoo
--
-- Run by a superuser, in a database in UTF8, LATIN1 or SQL_ASCII. Roles are named zoo_… and are left alone when they are there.
-- With `--set=small=1` the cells of 100 MiB are left out, with `--set=without_xml=1` the type xml. What this server cannot have is named as skipped.

\set ON_ERROR_STOP 1
SET client_min_messages = warning;
SELECT :SERVER_VERSION_NUM >= 150000 AS v15, :SERVER_VERSION_NUM >= 160000 AS v16, :SERVER_VERSION_NUM >= 170000 AS v17,
       :SERVER_VERSION_NUM >= 180000 AS v18, getdatabaseencoding() = 'UTF8' AS is_utf8,
       getdatabaseencoding() = 'SQL_ASCII' AS is_ascii \gset
\if :is_ascii
\else
SET client_encoding = 'UTF8';
\endif

-- Roles: attributes, settings, memberships, names that need quotes. A password never leaves the server.
DO $$
DECLARE role text;
BEGIN
    FOREACH role IN ARRAY ARRAY['zoo_owner', 'zoo_keeper', 'zoo_visitor', 'zoo "Head" Keeper', 'zoo_vet'] LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I', role);
        EXCEPTION WHEN duplicate_object THEN
            RAISE WARNING 'skipped: role % is there already', role;
        END;
    END LOOP;
END $$;
ALTER ROLE zoo_owner CREATEDB CREATEROLE;
ALTER ROLE zoo_keeper LOGIN INHERIT CONNECTION LIMIT 7 PASSWORD 'never in a backup' VALID UNTIL '2031-01-02 03:04:05+00';
ALTER ROLE zoo_vet NOINHERIT BYPASSRLS REPLICATION;
ALTER ROLE zoo_keeper SET statement_timeout = '45s';
ALTER ROLE zoo_keeper SET search_path = zoo, "it's", public;
COMMENT ON ROLE zoo_keeper IS 'feeds; doesn''t clean
on Sundays';
GRANT zoo_owner TO zoo_keeper;
GRANT zoo_keeper TO "zoo ""Head"" Keeper" WITH ADMIN OPTION;
GRANT pg_read_all_stats TO zoo_vet;
\if :v16
GRANT zoo_owner TO zoo_vet WITH INHERIT FALSE, SET TRUE;
\endif

-- The database itself.
ALTER DATABASE :"DBNAME" SET work_mem = '7MB';
ALTER DATABASE :"DBNAME" SET search_path = zoo, "it's", public;
ALTER DATABASE :"DBNAME" SET "zoo.motto" = 'don''t feed; "no" \ ever';
ALTER ROLE zoo_visitor IN DATABASE :"DBNAME" SET default_transaction_read_only = on;
REVOKE TEMPORARY ON DATABASE :"DBNAME" FROM PUBLIC;
GRANT CREATE, CONNECT ON DATABASE :"DBNAME" TO zoo_keeper WITH GRANT OPTION;
GRANT TEMPORARY ON DATABASE :"DBNAME" TO "zoo ""Head"" Keeper";
COMMENT ON DATABASE :"DBNAME" IS 'a zoo; it''s all here';

CREATE SCHEMA zoo AUTHORIZATION zoo_owner;
CREATE SCHEMA "it's";
CREATE SCHEMA empty_schema;
COMMENT ON SCHEMA zoo IS 'animals';
GRANT USAGE ON SCHEMA zoo TO PUBLIC;
GRANT CREATE ON SCHEMA "it's" TO zoo_keeper WITH GRANT OPTION;
SET search_path = zoo, public;

-- Extensions, and one in a schema of its own.
CREATE EXTENSION citext SCHEMA public;
CREATE EXTENSION hstore SCHEMA zoo;
CREATE EXTENSION btree_gist SCHEMA public;
CREATE EXTENSION postgres_fdw SCHEMA public;
CREATE EXTENSION file_fdw SCHEMA public;
CREATE EXTENSION pg_buffercache SCHEMA public;
COMMENT ON EXTENSION citext IS 'caseless, as animals are';

-- Types.
CREATE TYPE mood AS ENUM ('calm', 'tense', 'so, "so"', E'tab\t');
ALTER TYPE mood ADD VALUE 'asleep' BEFORE 'tense';
CREATE TYPE place AS (house text, box int, tags text[]);
CREATE TYPE stay AS (at place, since date);
CREATE TYPE reading AS RANGE (subtype = float8, subtype_diff = float8mi);
CREATE DOMAIN weight AS numeric(8, 3) CONSTRAINT is_positive CHECK (VALUE > 0);
CREATE DOMAIN tag_list AS text[] CHECK (array_length(VALUE, 1) < 10);
CREATE DOMAIN code AS text COLLATE "C" DEFAULT 'none' NOT NULL;
CREATE TYPE shell_only;
CREATE COLLATION plain FROM "C";
COMMENT ON TYPE mood IS 'how it feels';
COMMENT ON COLUMN place.box IS 'counts from 1';
GRANT USAGE ON TYPE mood TO zoo_visitor;
REVOKE USAGE ON TYPE mood FROM PUBLIC;

-- A base type with its own functions, operators, an operator class and casts.
CREATE TYPE stripe;
CREATE FUNCTION stripe_in(cstring) RETURNS stripe IMMUTABLE STRICT LANGUAGE internal AS 'int4in';
CREATE FUNCTION stripe_out(stripe) RETURNS cstring IMMUTABLE STRICT LANGUAGE internal AS 'int4out';
CREATE TYPE stripe (INPUT = stripe_in, OUTPUT = stripe_out, INTERNALLENGTH = 4, PASSEDBYVALUE, ALIGNMENT = int4);
CREATE CAST (stripe AS int4) WITHOUT FUNCTION AS ASSIGNMENT;
CREATE CAST (int4 AS stripe) WITHOUT FUNCTION;
CREATE FUNCTION mood_number(mood) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT array_position(enum_range(NULL::zoo.mood), $1)';
CREATE CAST (mood AS int) WITH FUNCTION mood_number(mood) AS ASSIGNMENT;
COMMENT ON CAST (mood AS int) IS 'place in the order';
CREATE FUNCTION stripe_lt(stripe, stripe) RETURNS bool LANGUAGE internal IMMUTABLE STRICT AS 'int4lt';
CREATE FUNCTION stripe_eq(stripe, stripe) RETURNS bool LANGUAGE internal IMMUTABLE STRICT AS 'int4eq';
CREATE FUNCTION stripe_gt(stripe, stripe) RETURNS bool LANGUAGE internal IMMUTABLE STRICT AS 'int4gt';
CREATE FUNCTION stripe_cmp(stripe, stripe) RETURNS int LANGUAGE internal IMMUTABLE STRICT AS 'btint4cmp';
CREATE OPERATOR < (LEFTARG = stripe, RIGHTARG = stripe, FUNCTION = stripe_lt, COMMUTATOR = >);
CREATE OPERATOR > (LEFTARG = stripe, RIGHTARG = stripe, FUNCTION = stripe_gt, COMMUTATOR = <);
CREATE OPERATOR = (LEFTARG = stripe, RIGHTARG = stripe, FUNCTION = stripe_eq, COMMUTATOR = =, MERGES);
CREATE OPERATOR FAMILY stripe_ops USING btree;
CREATE OPERATOR CLASS stripe_ops DEFAULT FOR TYPE stripe USING btree FAMILY stripe_ops
    AS OPERATOR 1 <, OPERATOR 3 =, OPERATOR 5 >, FUNCTION 1 stripe_cmp(stripe, stripe);
COMMENT ON OPERATOR CLASS stripe_ops USING btree IS 'few before many';

-- Routines.
CREATE FUNCTION "weird, name"(a int, b text DEFAULT 'it''s', VARIADIC c numeric[] DEFAULT '{}') RETURNS TABLE (x int, y text)
    LANGUAGE sql STABLE PARALLEL SAFE COST 7 ROWS 3 SET work_mem = '1MB' AS $f$ SELECT a, b || '$$' $f$;
CREATE PROCEDURE feed(INOUT times int) LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN times := times + 1; END';
CREATE AGGREGATE total (int) (SFUNC = int4pl, STYPE = int, INITCOND = '0');
CREATE FUNCTION sql_body(a int) RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT a + 1; SELECT a * 2; END;
REVOKE EXECUTE ON PROCEDURE feed FROM PUBLIC;
GRANT EXECUTE ON PROCEDURE feed TO zoo_keeper;
COMMENT ON FUNCTION sql_body IS 'parsed when it was made';

-- Text search.
CREATE TEXT SEARCH DICTIONARY simple_dictionary (TEMPLATE = pg_catalog.simple, ACCEPT = false);
CREATE TEXT SEARCH CONFIGURATION animal_search (COPY = pg_catalog.simple);
ALTER TEXT SEARCH CONFIGURATION animal_search ALTER MAPPING FOR asciiword WITH simple_dictionary, simple;
COMMENT ON TEXT SEARCH CONFIGURATION animal_search IS 'finds animals';

-- Sequences: alone, called and not, down, owned, cycling.
CREATE SEQUENCE alone START 1000 INCREMENT 10;
SELECT nextval('alone'), nextval('alone') \g /dev/null
CREATE SEQUENCE "Not Called" AS smallint START 42 CYCLE;
CREATE SEQUENCE down INCREMENT -1;
SELECT setval('down', -5, false) \g /dev/null
GRANT USAGE ON SEQUENCE alone TO zoo_visitor;

-- Tables: every kind of column and constraint.
CREATE TABLE animal (
    id bigint GENERATED BY DEFAULT AS IDENTITY (START 100 INCREMENT 5) PRIMARY KEY,
    number serial UNIQUE,
    name text NOT NULL CHECK (name <> ''),
    feels mood DEFAULT 'calm',
    weighs weight,
    home place,
    past stay[],
    tags tag_list,
    born date DEFAULT CURRENT_DATE,
    upper_name text GENERATED ALWAYS AS (upper(name)) STORED,
    stripes stripe,
    label citext DEFAULT 'X',
    notes hstore,
    secret text);
INSERT INTO animal (name, feels, weighs, home, past, tags, born, stripes, notes)
SELECT 'animal ' || i, (enum_range(NULL::mood))[1 + i % 5], i + 0.125, ROW('house ' || i % 7, i, ARRAY['a', NULL, 'b,"'])::place,
       ARRAY[ROW(ROW('old', i, '{}'), '2020-02-29')::stay], ARRAY['x', 'y ' || i], date '2000-01-01' + i, i::stripe,
       hstore('k' || i, NULLIF('v' || i % 3, 'v0'))
FROM generate_series(1, 3000) i;
ALTER TABLE animal OWNER TO zoo_owner;
ALTER TABLE animal ALTER COLUMN name SET STATISTICS 500, ALTER COLUMN secret SET STORAGE EXTERNAL, ALTER COLUMN weighs SET (n_distinct = -0.5);
ALTER TABLE animal SET (fillfactor = 70, autovacuum_enabled = false);
CREATE INDEX animal_name ON animal (name COLLATE "C" DESC NULLS LAST) INCLUDE (feels) WHERE weighs > 2;
CREATE INDEX animal_expression ON animal USING btree (lower(name), ((home).box));
CREATE INDEX animal_stripes ON animal (stripes);
ALTER INDEX animal_expression ALTER COLUMN 1 SET STATISTICS 77;
CLUSTER animal USING animal_pkey;
ALTER TABLE animal REPLICA IDENTITY FULL;
GRANT SELECT, INSERT ON animal TO zoo_keeper WITH GRANT OPTION;
GRANT SELECT (id, name), UPDATE (name) ON animal TO zoo_visitor;
COMMENT ON TABLE animal IS E'who lives here\n\twith tabs, ''quotes'' and \\ backslashes';
COMMENT ON COLUMN animal.name IS 'given';
COMMENT ON INDEX animal_name IS 'for search';
COMMENT ON CONSTRAINT animal_name_check ON animal IS 'no nobody';
CREATE STATISTICS animal_statistics (ndistinct, dependencies, mcv) ON name, feels FROM animal;
ALTER STATISTICS animal_statistics SET STATISTICS 200;
CREATE STATISTICS animal_expression_statistics ON (lower(name)), (id % 10) FROM animal;
COMMENT ON STATISTICS animal_statistics IS 'they go together';
\if :v15
CREATE TABLE unique_nulls (a int, UNIQUE NULLS NOT DISTINCT (a));
\endif
\if :v18
CREATE TABLE virtual_column (a int, b int GENERATED ALWAYS AS (a * 2) VIRTUAL, CONSTRAINT a_there NOT NULL a);
INSERT INTO virtual_column VALUES (1), (2);
\endif

-- Row level security, forced.
ALTER TABLE animal ENABLE ROW LEVEL SECURITY;
ALTER TABLE animal FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON animal FOR SELECT TO zoo_visitor, zoo_keeper USING (name = CURRENT_USER OR EXISTS (SELECT FROM zoo.animal a WHERE a.id < 0));
CREATE POLICY no_ghosts ON animal AS RESTRICTIVE FOR ALL USING (true) WITH CHECK (name <> 'ghost');
COMMENT ON POLICY own ON animal IS 'each its own';

-- Foreign keys, in a circle and to itself; deferred, exclusion and not yet valid constraints.
CREATE TABLE keeper (id int PRIMARY KEY, chief int REFERENCES keeper DEFERRABLE INITIALLY DEFERRED, favourite bigint);
CREATE TABLE shift (
    keeper int REFERENCES keeper ON DELETE CASCADE ON UPDATE SET NULL, at tsrange, animal bigint REFERENCES animal MATCH FULL,
    EXCLUDE USING gist (keeper WITH =, at WITH &&) WHERE (keeper > 0));
INSERT INTO keeper VALUES (1, 2, 100), (2, 1, NULL);
INSERT INTO shift VALUES (1, '[2026-01-01 00:00,2026-01-01 08:00)', 100), (1, 'empty', NULL), (2, '(,)', 105);
ALTER TABLE keeper ADD FOREIGN KEY (favourite) REFERENCES animal (id);
INSERT INTO keeper VALUES (3, NULL, NULL);
ALTER TABLE keeper ADD CONSTRAINT later CHECK (id < 1000) NOT VALID;

-- Partitions: by range, list and hash, of two levels, attached with another order of columns; a foreign key to them.
CREATE TABLE visit (id int, at date NOT NULL, note text DEFAULT 'none', PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE visit_2025 PARTITION OF visit (note DEFAULT 'then') FOR VALUES FROM ('2025-01-01') TO ('2026-01-01') PARTITION BY HASH (id);
CREATE TABLE visit_2025_0 PARTITION OF visit_2025 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE visit_2025_1 PARTITION OF visit_2025 FOR VALUES WITH (MODULUS 2, REMAINDER 1) WITH (fillfactor = 50);
CREATE TABLE visit_other (note text, gone int, at date NOT NULL, id int NOT NULL);
ALTER TABLE visit_other DROP COLUMN gone;
ALTER TABLE visit ATTACH PARTITION visit_other DEFAULT;
CREATE INDEX visit_note ON visit (note);
INSERT INTO visit SELECT i, date '2025-06-01' + i, 'visit ' || i FROM generate_series(1, 500) i;
CREATE TABLE complaint (id int, at date, text text, FOREIGN KEY (id, at) REFERENCES visit);
INSERT INTO complaint VALUES (1, '2025-06-02', 'too quiet');
CREATE TABLE by_mood (feels mood, n int) PARTITION BY LIST (feels);
CREATE TABLE by_mood_calm PARTITION OF by_mood FOR VALUES IN ('calm', NULL);
INSERT INTO by_mood VALUES ('calm', 1), (NULL, 2);
CREATE TABLE no_partitions (a int) PARTITION BY RANGE ((a % 10));
ALTER TABLE visit OWNER TO zoo_owner;

-- Inheritance.
CREATE TABLE parent (a int, b text DEFAULT 'b' NOT NULL, CONSTRAINT kept CHECK (a > 0), CONSTRAINT own_only CHECK (a < 9) NO INHERIT);
CREATE TABLE other_parent (c int);
CREATE TABLE child (d int) INHERITS (parent, other_parent);
ALTER TABLE parent ADD COLUMN late int DEFAULT 5;
ALTER TABLE child ALTER COLUMN b SET DEFAULT 'child';
INSERT INTO parent (a) VALUES (1);
INSERT INTO child (a, c, d) VALUES (20, 3, 4);

-- Shapes: no columns, dropped columns, only generated ones, of a type, unlogged, 1,600 columns, many pages.
CREATE TABLE nothing ();
INSERT INTO nothing DEFAULT VALUES;
INSERT INTO nothing DEFAULT VALUES;
CREATE TABLE dropped (a int, gone text, b int, gone_too int);
INSERT INTO dropped VALUES (1, 'x', 2, 3);
ALTER TABLE dropped DROP COLUMN gone, DROP COLUMN gone_too, ADD COLUMN late text DEFAULT 'late';
INSERT INTO dropped VALUES (4, 5, NULL);
CREATE TABLE all_dropped (a int);
INSERT INTO all_dropped VALUES (1), (2), (3);
ALTER TABLE all_dropped DROP COLUMN a;
CREATE TABLE only_generated (b int GENERATED ALWAYS AS (1) STORED);
INSERT INTO only_generated DEFAULT VALUES;
CREATE TABLE of_type OF place (house WITH OPTIONS NOT NULL, PRIMARY KEY (box));
INSERT INTO of_type VALUES ('house', 1, '{}');
CREATE UNLOGGED TABLE unlogged (a int GENERATED ALWAYS AS IDENTITY, b text);
INSERT INTO unlogged (b) SELECT 'row ' || i FROM generate_series(1, 10) i;
CREATE TABLE empty_table (a int, b text);
SELECT format('CREATE TABLE wide (%s)', string_agg(format('c%s %s', i, CASE i % 4 WHEN 0 THEN 'bool' WHEN 1 THEN 'int2' WHEN 2 THEN 'int4' ELSE 'text' END), ', ' ORDER BY i))
FROM generate_series(1, 1600) i \gexec
INSERT INTO wide (c1, c2, c3, c1599, c1600) VALUES (1, 2, 'three', 'last but one', true);
INSERT INTO wide DEFAULT VALUES;
CREATE TABLE many_pages AS SELECT i AS id, repeat(md5(i::text), 20) AS filler FROM generate_series(1, 12000) i;
CREATE TEMPORARY TABLE not_carried (a int);

-- Names: of 63 bytes, beyond ASCII, with quotes, newlines, dots, spaces, keywords and what looks like SQL.
CREATE TABLE "it's"."select" ("from" int PRIMARY KEY, "a""b" text, "ü é" text, "new
line" int, "%s %1$I" text, "\x" text);
INSERT INTO "it's"."select" VALUES (1, 'x', NULL, 2, E'\\N', E'\\.'), (2, E'\\.', E'a\tb', 3, '', E'\\');
CREATE TABLE "it's"."two
lines; DROP TABLE x; --" (a int);
INSERT INTO "it's"."two
lines; DROP TABLE x; --" VALUES (1);
CREATE INDEX "index
of ""it""" ON "it's"."two
lines; DROP TABLE x; --" (a);
CREATE TABLE "a.b" (a int);
CREATE TABLE "sixty_three_bytes_long_0123456789_0123456789_0123456789_01234567" (a int);
CREATE TABLE "Tier ""ß"" é" ("größe" int CHECK ("größe" > 0));
INSERT INTO "Tier ""ß"" é" VALUES (1);
\if :is_utf8
CREATE TABLE "動物園 🦒" ("名前" text);
INSERT INTO "動物園 🦒" VALUES ('麒麟'), ('🦒🦓');
\endif

-- Values: extremes of everything, and texts that formats trip over.
CREATE TABLE extremes (
    a float8, b float4, c numeric, d date, e timestamp, f timestamptz, g interval, h int8, i text, j bytea, k jsonb, l json,
    n int4range, o datemultirange, p reading, q inet, r macaddr8, s uuid, t bit varying, u tsvector, v point, w money, x "char",
    y regclass, z aclitem, aa int[][], ab "char"[], ac oidvector, ad pg_lsn, ae timetz, af bpchar(5), ag jsonpath, ah name);
INSERT INTO extremes VALUES
    ('NaN', '-Infinity', 'NaN', '-infinity', 'infinity', '-infinity', '-178000000 years', -9223372036854775808, E'tab\t nl\n cr\r bs\\ \\N \\. '' "',
     '\x00ff5c0a09', '{"a": [1, null, "\u0041"], "b": 1e400}', '{"b" :  1,"b":2}', 'empty', '{[2020-01-01,2020-02-01),[2021-01-01,)}',
     '[0.1,0.2)', '::ffff:1.2.3.4/96', '08:00:2b:01:02:03:04:05', '00000000-0000-0000-0000-000000000000', B'10110', 'a:1A b:2,3B', '(NaN,-0)',
     '-92233720368547758.08', '\377', 'pg_class', 'zoo_keeper=r*w/zoo_owner', '[2:3][-1:0]={{1,NULL},{3,4}}', '{a,NULL}', '1 2', 'FFFFFFFF/FFFFFFFF',
     '24:00:00-15:59', 'ab', '$.a[*] ? (@ > 1)', 'n'),
    ('Infinity', '1e-45', '1e-16383', '4714-11-24 BC', '294276-12-31 23:59:59.999999', '4714-11-24 00:00:00+00 BC', '1 mon -2 days 03:04:05.000006',
     9223372036854775807, '', '', 'null', 'null', '(,5)', '{}', '(,)', '10.0.0.0/8', NULL, 'ffffffff-ffff-ffff-ffff-ffffffffffff', '', '', NULL, '0', '', '-', NULL, '{}',
     '{}', '', '0/0', '00:00:00+15:59', '', 'strict $', '');
INSERT INTO extremes (a, c, i) VALUES (-0.0, 1e1000, repeat('long ', 100000)), (5e-324, 'NaN', E'\u0001\u007f'), (1.7976931348623157e308, '-0.000', NULL);
INSERT INTO extremes (c) VALUES ('Infinity'), ('-Infinity');
\if :{?without_xml}
\else
DO $$
BEGIN
    CREATE TABLE zoo.markup (m xml, many xml[]);
    INSERT INTO zoo.markup VALUES ('<a b="1">&amp;</a>', '{<c/>,NULL}'), ('text <b/> and more', NULL), ('', '{}');
EXCEPTION WHEN feature_not_supported THEN
    RAISE WARNING 'skipped: xml, which this server is built without';
END $$;
\endif
CREATE TABLE texts (t text);
INSERT INTO texts SELECT chr(i) FROM generate_series(1, 127) i;
\if :is_ascii
INSERT INTO texts VALUES (E'caf\xe9'), (E'\xff\xfe\x80'), (E'\xc3');
CREATE TABLE stray_bytes (t text DEFAULT E'caf\xe9', CHECK (t <> E'\xff'));
INSERT INTO stray_bytes DEFAULT VALUES;
COMMENT ON TABLE stray_bytes IS E'no \xe9\xff UTF-8';
CREATE TYPE stray AS ENUM (E'\xe9', 'e');
CREATE FUNCTION stray() RETURNS text LANGUAGE sql AS E'SELECT ''\xe8\xe9''::text';
\else
INSERT INTO texts SELECT convert_from(decode(to_hex(i), 'hex'), 'LATIN1') FROM generate_series(160, 255) i;
\endif
\if :is_utf8
INSERT INTO texts VALUES ('🦒'), (E'e\u0301'), (E'\u202e'), (E'\uFEFF'), (E'\uFFFD'), (E'\U0010FFFF'), (E'a\u2028b\u0085c');
\endif
CREATE TABLE heavy (id int, cell text, raw bytea);
ALTER TABLE heavy ALTER cell SET STORAGE EXTENDED;
\if :{?small}
INSERT INTO heavy VALUES (1, repeat('0123456789abcdef', 1024 * 64), NULL);
\else
INSERT INTO heavy VALUES (1, repeat('0123456789abcdef', 1024 * 1024 * 100 / 16), NULL), (2, NULL, decode(repeat('5c0a09ff', 1024 * 1024 * 100 / 4), 'hex'));
\endif

-- Views, rules, materialized views on views on materialized views, with one that is not filled and one that is indexed.
CREATE VIEW tense WITH (security_barrier) AS SELECT id, name, (home).house FROM animal WHERE feels = 'tense' WITH LOCAL CHECK OPTION;
CREATE VIEW joined (n, how_many) AS
    WITH RECURSIVE c AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM c WHERE n < 3)
    SELECT a.name, count(*) FILTER (WHERE s.keeper > 0) FROM animal a LEFT JOIN shift s ON s.animal = a.id, c GROUP BY a.name;
ALTER VIEW tense ALTER COLUMN name SET DEFAULT 'nobody';
CREATE RECURSIVE VIEW steps (n) AS SELECT 1 UNION ALL SELECT n + 1 FROM steps WHERE n < 5;
\if :v15
CREATE VIEW as_invoker WITH (security_invoker) AS SELECT a FROM parent;
\endif
CREATE VIEW first_of_circle AS SELECT 1 AS a;
CREATE VIEW second_of_circle AS SELECT a FROM first_of_circle;
CREATE RULE keep_silent AS ON INSERT TO empty_table WHERE NEW.a < 0 DO INSTEAD NOTHING;
CREATE RULE also AS ON UPDATE TO dropped DO ALSO INSERT INTO empty_table VALUES (OLD.a, 'was');
ALTER TABLE dropped DISABLE RULE also;
CREATE RULE into_view AS ON INSERT TO second_of_circle DO INSTEAD INSERT INTO empty_table VALUES (NEW.a);
COMMENT ON RULE also ON dropped IS 'remembers';
CREATE MATERIALIZED VIEW z_counts AS SELECT at, count(*) AS n FROM visit GROUP BY at;
CREATE VIEW y_over AS SELECT sum(n) AS n FROM z_counts;
CREATE MATERIALIZED VIEW a_total AS SELECT n + 1 AS n FROM y_over;
CREATE UNIQUE INDEX a_total_n ON a_total (n);
CREATE MATERIALIZED VIEW unfilled AS SELECT 1 AS a WITH NO DATA;
ALTER MATERIALIZED VIEW z_counts OWNER TO zoo_owner;
GRANT SELECT ON a_total TO zoo_visitor;
COMMENT ON MATERIALIZED VIEW a_total IS 'of totals';
REFRESH MATERIALIZED VIEW z_counts;
REFRESH MATERIALIZED VIEW a_total;

-- Triggers of every kind: none may fire while rows are restored.
CREATE TABLE fired (what text);
CREATE FUNCTION fire() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO zoo.fired VALUES (TG_NAME); RETURN COALESCE(NEW, OLD); END $$;
CREATE TRIGGER each_row BEFORE INSERT OR UPDATE OF name ON animal FOR EACH ROW WHEN (NEW.name <> 'x') EXECUTE FUNCTION fire('a', 'it''s');
CREATE TRIGGER each_statement AFTER INSERT ON many_pages REFERENCING NEW TABLE AS fresh EXECUTE FUNCTION fire();
CREATE TRIGGER always AFTER INSERT ON nothing FOR EACH ROW EXECUTE FUNCTION fire();
ALTER TABLE nothing ENABLE ALWAYS TRIGGER always;
CREATE TRIGGER disabled BEFORE DELETE ON dropped FOR EACH ROW EXECUTE FUNCTION fire();
ALTER TABLE dropped DISABLE TRIGGER disabled;
CREATE TRIGGER instead INSTEAD OF INSERT ON tense FOR EACH ROW EXECUTE FUNCTION fire();
CREATE TRIGGER on_partitions AFTER INSERT ON visit FOR EACH ROW EXECUTE FUNCTION fire();
CREATE CONSTRAINT TRIGGER deferred AFTER INSERT ON parent DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION fire();
COMMENT ON TRIGGER each_row ON animal IS 'rings';

-- Foreign data: definitions, and the password of a mapping, which only the sealed archive may hold.
CREATE SERVER aquarium FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'aquarium.invalid', dbname 'fish');
CREATE USER MAPPING FOR zoo_keeper SERVER aquarium OPTIONS (user 'fish', password 'wet secret');
CREATE USER MAPPING FOR PUBLIC SERVER aquarium;
CREATE FOREIGN TABLE fish (id int OPTIONS (column_name 'number') NOT NULL, name text DEFAULT 'nemo', CHECK (id > 0))
    SERVER aquarium OPTIONS (schema_name 'public', table_name 'fish');
CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
CREATE FOREIGN TABLE list (line text) SERVER files OPTIONS (filename '/nowhere/list.csv', format 'csv');
CREATE FOREIGN TABLE visit_abroad PARTITION OF by_mood FOR VALUES IN ('tense') SERVER aquarium;
CREATE FOREIGN DATA WRAPPER own_wrapper OPTIONS (debug 'true');
GRANT USAGE ON FOREIGN SERVER aquarium TO zoo_keeper;
GRANT SELECT ON fish TO zoo_visitor;
ALTER SERVER aquarium OWNER TO zoo_owner;
COMMENT ON SERVER aquarium IS 'wet';
COMMENT ON FOREIGN TABLE fish IS 'elsewhere';

-- Publications; whether the server's wal_level lets them send anything does not matter here.
SET client_min_messages = error;
CREATE PUBLICATION some_tables FOR TABLE keeper, ONLY parent WITH (publish = 'insert, update');
CREATE PUBLICATION no_tables;
CREATE PUBLICATION everything FOR ALL TABLES WITH (publish_via_partition_root = true);
\if :v15
CREATE PUBLICATION filtered FOR TABLE animal (id, name) WHERE (id > 5);
CREATE PUBLICATION whole_schemas FOR TABLES IN SCHEMA "it's", empty_schema;
\endif
ALTER PUBLICATION no_tables OWNER TO zoo_owner;
COMMENT ON PUBLICATION some_tables IS 'to the aquarium';
SET client_min_messages = warning;

-- Default privileges.
ALTER DEFAULT PRIVILEGES FOR ROLE zoo_owner IN SCHEMA zoo GRANT SELECT ON TABLES TO zoo_visitor;
ALTER DEFAULT PRIVILEGES FOR ROLE zoo_owner REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE zoo_owner GRANT USAGE, SELECT ON SEQUENCES TO zoo_keeper WITH GRANT OPTION;

-- Large objects: empty, of one byte, of several pages, with a hole; owners, grants, comments.
SELECT lo_create(990001), lo_from_bytea(990002, 'x'), lo_from_bytea(990003, decode(repeat('0123456789abcdef', 262144), 'hex')),
       lo_put(lo_create(990004), 3000000, 'after a hole'), lo_from_bytea(990005, 'given away') \g /dev/null
ALTER LARGE OBJECT 990002 OWNER TO zoo_owner;
ALTER LARGE OBJECT 990005 OWNER TO zoo_keeper;
GRANT SELECT ON LARGE OBJECT 990003 TO PUBLIC, "zoo ""Head"" Keeper";
GRANT SELECT, UPDATE ON LARGE OBJECT 990002 TO zoo_keeper WITH GRANT OPTION;
REVOKE UPDATE ON LARGE OBJECT 990005 FROM zoo_keeper;
COMMENT ON LARGE OBJECT 990004 IS E'mind the\nhole';

-- Security labels need a provider, which few servers have.
DO $$
BEGIN
    SECURITY LABEL ON TABLE zoo.animal IS 'unclassified';
EXCEPTION WHEN OTHERS THEN
    RAISE WARNING 'skipped: security labels, because no provider is loaded';
END $$;

-- Event triggers last, as they fire for everything that is defined: neither a restore nor its REFRESH may set them off.
CREATE TABLE defined (tag text);
CREATE FUNCTION note_definition() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO zoo.defined VALUES (TG_TAG); END';
CREATE EVENT TRIGGER on_definition ON ddl_command_end EXECUTE FUNCTION note_definition();
CREATE EVENT TRIGGER on_drop ON sql_drop WHEN TAG IN ('DROP TABLE', 'DROP VIEW') EXECUTE FUNCTION note_definition();
COMMENT ON EVENT TRIGGER on_drop IS 'who goes';
ALTER EVENT TRIGGER on_definition ENABLE ALWAYS;
ALTER EVENT TRIGGER on_drop DISABLE;
TRUNCATE zoo.defined;
