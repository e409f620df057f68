-- ends: whole
-- Names with quotes, newlines, tabs, semicolons, '=', backslashes, dollar signs, keywords, 63 bytes of UTF-8; comments with the same.
CREATE SCHEMA "s c;h=""e'ma";
CREATE TABLE "s c;h=""e'ma"."line
break" ("a
b" int PRIMARY KEY, "=" text, "c""d" text DEFAULT E'x\\y', "select" int, "$1" int);
INSERT INTO "s c;h=""e'ma"."line
break" SELECT i, '=' || i, E'tab\tnew\nline\\. back', i, i FROM generate_series(1, 20) i;
COMMENT ON TABLE "s c;h=""e'ma"."line
break" IS E'a comment\n-- with lines;\n\\. and ''quotes''';
CREATE INDEX "ix
1; DROP TABLE x" ON "s c;h=""e'ma"."line
break" ("=", "select" DESC NULLS LAST);
CREATE TABLE "ééééééééééééééééééééééééééééééé" (id int PRIMARY KEY, "\.
" text);
INSERT INTO "ééééééééééééééééééééééééééééééé" VALUES (1, E'\\.'), (2, '\N'), (3, NULL), (4, '');
CREATE TABLE "TABLE DATA x postgres" (id int CONSTRAINT "FK CONSTRAINT; error:" PRIMARY KEY);
CREATE TABLE no_columns ();
INSERT INTO no_columns DEFAULT VALUES; INSERT INTO no_columns DEFAULT VALUES;
CREATE TABLE all_dropped (a int); INSERT INTO all_dropped SELECT generate_series(1, 3); ALTER TABLE all_dropped DROP a;
CREATE TABLE only_generated (a int, g int GENERATED ALWAYS AS (1) STORED); INSERT INTO only_generated VALUES (1), (2); ALTER TABLE only_generated DROP a;
