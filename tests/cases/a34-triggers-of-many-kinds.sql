-- ends: rows-whole
-- aside: comment TRIGGER s_upd ON s
-- aside: trigger p_upd on public.p
-- aside: trigger s_ins on public.s
-- aside: trigger s_upd on public.s
-- Whole-row WHEN older than a generated column: disabled, as constraint trigger, on a partitioned table; and triggers enabled always, on replica, disabled on one partition.
CREATE FUNCTION noop() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TABLE s (id int PRIMARY KEY, name text, v int DEFAULT 0);
CREATE TRIGGER s_ins BEFORE INSERT ON s FOR EACH ROW WHEN (NEW IS NOT NULL) EXECUTE FUNCTION noop();
CREATE TRIGGER s_upd BEFORE UPDATE ON s FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION noop('a''b', 'c');
CREATE TRIGGER s_always BEFORE UPDATE OF name ON s FOR EACH ROW EXECUTE FUNCTION noop();
CREATE TRIGGER s_after AFTER UPDATE ON s FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION noop();
CREATE CONSTRAINT TRIGGER s_con AFTER INSERT ON s DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.v > 3) EXECUTE FUNCTION noop();
COMMENT ON TRIGGER s_upd ON s IS 'will not come back';
ALTER TABLE s ADD COLUMN size int GENERATED ALWAYS AS (length(name)) STORED;
ALTER TABLE s DISABLE TRIGGER s_ins;
ALTER TABLE s ENABLE ALWAYS TRIGGER s_upd;
ALTER TABLE s ENABLE REPLICA TRIGGER s_always;
INSERT INTO s (id, name) SELECT i, 'n' || i FROM generate_series(1, 30) i;
CREATE TABLE p (id int, k int) PARTITION BY LIST (k);
CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1);
CREATE TABLE p2 PARTITION OF p FOR VALUES IN (2);
CREATE TRIGGER p_upd BEFORE UPDATE ON p FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION noop();
CREATE TRIGGER p_ins AFTER INSERT ON p FOR EACH ROW EXECUTE FUNCTION noop();
ALTER TABLE p1 DISABLE TRIGGER p_ins;
ALTER TABLE p ADD COLUMN g int GENERATED ALWAYS AS (id * 2) STORED;
INSERT INTO p SELECT i, 1 + i % 2 FROM generate_series(1, 20) i;
