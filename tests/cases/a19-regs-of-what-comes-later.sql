-- ends: failed
-- aside: rows public.procs
-- reg… values: own primary key, other tables' indexes, overloaded functions and operators, roles and namespaces, what was dropped; in arrays, composites and domains.
SELECT 'CREATE ROLE case19_gone' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'case19_gone') \gexec
CREATE SCHEMA lab;
CREATE FUNCTION lab.f(int) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION lab.f(text) RETURNS int LANGUAGE sql AS 'SELECT 2';
CREATE FUNCTION lab.g(int) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE TEXT SEARCH CONFIGURATION lab.own (COPY = simple);
CREATE TABLE zz (id int CONSTRAINT zz_pk PRIMARY KEY, v text);
CREATE INDEX zz_v ON zz (v);
CREATE MATERIALIZED VIEW zz_m AS SELECT * FROM zz;
CREATE INDEX zz_m_v ON zz_m (v);
CREATE DOMAIN rel AS regclass;
CREATE TYPE noted AS (r regclass, note text);
CREATE TABLE own_key (id int PRIMARY KEY, r regclass);
INSERT INTO own_key VALUES (1, 'own_key'), (2, 'own_key_pkey'), (3, NULL), (4, 0), (5, 4000000000);
CREATE TABLE in_array (id int PRIMARY KEY, r regclass[], n noted, d rel);
INSERT INTO in_array VALUES (1, '{zz,zz_v}', ROW('zz_pk', 'x'), 'zz_m'), (2, '{zz_m_v}', ROW('zz', 'y'), 'zz'), (3, '{zz}', ROW('zz', 'y'), 'zz');
CREATE TABLE procs (id int PRIMARY KEY, p regproc, pp regprocedure, o regoper, oo regoperator, t regtype, c regconfig, d regdictionary, n regnamespace, r regrole, k regcollation);
INSERT INTO procs VALUES (1, 'lab.g', 'lab.g(int)', NULL, '+(int,int)', 'noted', 'lab.own', 'simple', 'lab', 'postgres', '"C"');
INSERT INTO procs (id, p) VALUES (2, 'lab.f(int)'::regprocedure::oid);
INSERT INTO procs (id, o) VALUES (3, '+(int,int)'::regoperator::oid);
INSERT INTO procs (id, r, t) VALUES (4, 'case19_gone', 'noted[]');
INSERT INTO procs (id, n, c) VALUES (5, 987654321, 987654321);
CREATE TABLE no_regs (id int PRIMARY KEY);
INSERT INTO no_regs SELECT generate_series(1, 10);
DROP ROLE case19_gone;
