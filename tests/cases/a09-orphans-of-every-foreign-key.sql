-- ends: rows-whole
-- aside: fk constraint by_code_site on public.by_code
-- aside: fk constraint full_site on public.full_match
-- aside: fk constraint odd; fk on public.Odd "name"
-- aside: fk constraint tree_up on public.tree
-- aside: fk constraint two_site on public.two
-- Orphans behind foreign keys of several columns, MATCH FULL, onto oneself, deferrable, onto a unique index, with actions.
CREATE TABLE site (a int, b int, code text NOT NULL, PRIMARY KEY (a, b));
CREATE UNIQUE INDEX site_code ON site (code);
INSERT INTO site SELECT i, i % 5, 'c' || i FROM generate_series(1, 50) i;
CREATE TABLE two (id int PRIMARY KEY, a int, b int, CONSTRAINT two_site FOREIGN KEY (a, b) REFERENCES site ON DELETE SET NULL (a));
CREATE TABLE full_match (id int PRIMARY KEY, a int, b int, CONSTRAINT full_site FOREIGN KEY (a, b) REFERENCES site MATCH FULL ON UPDATE CASCADE);
CREATE TABLE tree (id int PRIMARY KEY, up int CONSTRAINT tree_up REFERENCES tree DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE by_code (id int PRIMARY KEY, code text CONSTRAINT by_code_site REFERENCES site (code) ON DELETE CASCADE);
CREATE TABLE "Odd ""name""" (id int PRIMARY KEY, "a=b" int CONSTRAINT "odd; fk" REFERENCES tree);
SET session_replication_role = replica;
INSERT INTO two SELECT i, i, i % 5 FROM generate_series(1, 50) i;
INSERT INTO two VALUES (90, 3, 4), (91, NULL, 4), (92, 90, NULL);
INSERT INTO full_match SELECT i, i, i % 5 FROM generate_series(1, 50) i;
INSERT INTO full_match VALUES (90, NULL, 4), (91, 7, NULL), (92, NULL, NULL), (93, 3, 4);
INSERT INTO tree SELECT i, NULLIF(i - 1, 0) FROM generate_series(1, 50) i;
DELETE FROM tree WHERE id = 25;
INSERT INTO by_code VALUES (1, 'c1'), (2, 'c2'), (3, 'nowhere');
INSERT INTO "Odd ""name""" VALUES (1, 1), (2, 25);
RESET session_replication_role;
