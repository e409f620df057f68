-- ends: rows-whole
-- aside: fk constraint review_maker on public.review
-- aside: fk constraint thing_2_own on public.thing_2
-- aside: fk constraint thing_colour on public.thing
-- aside: fk constraint thing_maker on public.thing
-- Orphans with a partitioned table on either side of the foreign key, and on both; one partition has a key of its own as well.
CREATE TABLE maker (id int, region int, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE maker_1 PARTITION OF maker FOR VALUES IN (1);
CREATE TABLE maker_2 PARTITION OF maker FOR VALUES IN (2);
CREATE TABLE colour (id int PRIMARY KEY);
CREATE TABLE thing (id int, maker int, region int, colour int CONSTRAINT thing_colour REFERENCES colour, PRIMARY KEY (id, region),
    CONSTRAINT thing_maker FOREIGN KEY (maker, region) REFERENCES maker) PARTITION BY LIST (region);
CREATE TABLE thing_1 PARTITION OF thing FOR VALUES IN (1);
CREATE TABLE thing_2 PARTITION OF thing FOR VALUES IN (2);
ALTER TABLE thing_2 ADD CONSTRAINT thing_2_own FOREIGN KEY (id) REFERENCES colour;
CREATE TABLE review (id int PRIMARY KEY, maker int, region int, CONSTRAINT review_maker FOREIGN KEY (maker, region) REFERENCES maker);
SET session_replication_role = replica;
INSERT INTO maker SELECT i, 1 + i % 2 FROM generate_series(1, 20) i;
INSERT INTO colour SELECT generate_series(1, 200);
INSERT INTO thing SELECT i, 1 + i % 20, 1 + (1 + i % 20) % 2, 1 + i % 5 FROM generate_series(1, 100) i;
INSERT INTO review SELECT i, 1 + i % 20, 1 + (1 + i % 20) % 2 FROM generate_series(1, 100) i;
DELETE FROM maker WHERE id = 6;
DELETE FROM colour WHERE id IN (3, 40);
RESET session_replication_role;
