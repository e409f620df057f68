-- ends: whole
-- Heirs with other column orders, defaults, generated expressions, collations of names, dropped columns and columns that only one side has.
CREATE TABLE parent (a int DEFAULT 1, b text DEFAULT 'p', g int GENERATED ALWAYS AS (a * 2) STORED);
CREATE TABLE early (x int, b text, a int, g int GENERATED ALWAYS AS (a * 3) STORED);
ALTER TABLE early DROP g, ADD g int GENERATED ALWAYS AS (a * 2) STORED;
ALTER TABLE early INHERIT parent;
CREATE TABLE kid (y int) INHERITS (parent);
ALTER TABLE kid ALTER b DROP DEFAULT, ALTER a SET DEFAULT 9;
ALTER TABLE parent ADD COLUMN late int DEFAULT 5;
ALTER TABLE parent DROP COLUMN b;
ALTER TABLE ONLY parent DROP COLUMN late;
INSERT INTO parent (a) SELECT generate_series(1, 5);
INSERT INTO early (x, b, a) SELECT i, 'e', i FROM generate_series(1, 5) i;
INSERT INTO kid (y, a) SELECT i, i FROM generate_series(1, 5) i;
CREATE TABLE m1 (k int NOT NULL, v int DEFAULT 1); CREATE TABLE m2 (v int DEFAULT 2, k int);
CREATE TABLE merged (k int, v int DEFAULT 3) INHERITS (m1, m2);
INSERT INTO merged (k) VALUES (1);
ALTER TABLE parent ALTER g DROP EXPRESSION;
ALTER TABLE early ALTER a SET STORAGE PLAIN, ALTER a SET (n_distinct = 5);
