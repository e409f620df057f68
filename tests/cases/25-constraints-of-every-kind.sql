-- ends: whole
-- Constraints that are not valid yet, not inherited, deferrable, exclusive, over an extension in its own schema; rows that break what is not valid.
CREATE SCHEMA extensions;
CREATE EXTENSION btree_gist SCHEMA extensions;
CREATE EXTENSION ltree SCHEMA extensions;
CREATE TABLE room (id int PRIMARY KEY, during tstzrange NOT NULL, room int NOT NULL, path extensions.ltree,
    CONSTRAINT one_at_a_time EXCLUDE USING gist (room WITH =, during WITH &&) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT one_path EXCLUDE USING gist (path WITH OPERATOR(extensions.=)) WHERE (room > 5));
INSERT INTO room SELECT i, tstzrange(timestamptz '2024-01-01Z' + i * interval '1 h', timestamptz '2024-01-01Z' + (i + 1) * interval '1 h'), i % 9,
    ('a.b' || i)::extensions.ltree FROM generate_series(1, 50) i;
CREATE TABLE parent (id int PRIMARY KEY, a int, b int);
CREATE TABLE child (id int PRIMARY KEY, a int, b int, later int UNIQUE NULLS NOT DISTINCT DEFERRABLE);
INSERT INTO parent SELECT i, -i, i FROM generate_series(1, 20) i;
INSERT INTO child SELECT i, i + 10, i, NULLIF(i, 3) FROM generate_series(1, 20) i;
ALTER TABLE child ADD CONSTRAINT child_parent FOREIGN KEY (a) REFERENCES parent NOT VALID;
ALTER TABLE parent ADD CONSTRAINT positive CHECK (a > 0) NOT VALID;
ALTER TABLE parent ADD CONSTRAINT own CHECK (b > 0) NO INHERIT;
ALTER TABLE parent ADD UNIQUE (id, b);
CREATE TABLE grandchild (x int, y int, CONSTRAINT g FOREIGN KEY (x, y) REFERENCES parent (id, b) MATCH FULL ON DELETE SET NULL (y) ON UPDATE CASCADE DEFERRABLE INITIALLY DEFERRED);
INSERT INTO grandchild VALUES (1, 1), (NULL, NULL);
CREATE DOMAIN even AS int;
CREATE TABLE numbers (n even);
INSERT INTO numbers VALUES (1), (2), (3);
ALTER DOMAIN even ADD CONSTRAINT is_even CHECK (VALUE % 2 = 0) NOT VALID;
CREATE TABLE heir (c text) INHERITS (parent);
INSERT INTO heir VALUES (100, 5, -5, 'heir');
