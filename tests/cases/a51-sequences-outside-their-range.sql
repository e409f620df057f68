-- ends: rows-whole
-- aside: sequence public.s_out
-- Sequences whose value is outside their range, not called yet, descending, of an identity, owned by a column of another schema; a publication, a subscription, extended statistics.
CREATE SCHEMA other;
CREATE SEQUENCE s_out START 100;
SELECT nextval('s_out') \gset
UPDATE pg_sequence SET seqmax = 50, seqstart = 1 WHERE seqrelid = 's_out'::regclass;
CREATE SEQUENCE s_new START 42;
CREATE SEQUENCE s_down INCREMENT -3 MAXVALUE 100 START 100 CYCLE;
SELECT nextval('s_down'), nextval('s_down') \gset
CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY (INCREMENT 10 CACHE 20) PRIMARY KEY, v smallserial);
INSERT INTO t DEFAULT VALUES; INSERT INTO t DEFAULT VALUES;
CREATE TABLE other.o (id int PRIMARY KEY);
ALTER TABLE other.o ALTER id SET DEFAULT nextval('s_new');
CREATE PUBLICATION case51 FOR TABLE t WHERE (id > 3), TABLES IN SCHEMA other;
CREATE PUBLICATION case51_all FOR ALL TABLES WITH (publish = 'insert');
CREATE STATISTICS t_s (mcv) ON id, v FROM t; ALTER STATISTICS t_s SET STATISTICS 300;
