-- ends: whole
-- Event triggers that refuse DDL, one for all and one for REFRESH; a materialized view; one trigger disabled; the function in a schema.
CREATE SCHEMA guard;
CREATE TABLE kept (id int PRIMARY KEY);
INSERT INTO kept SELECT generate_series(1, 30);
CREATE MATERIALIZED VIEW kept_m AS SELECT count(*) FROM kept;
CREATE FUNCTION guard.refuse() RETURNS event_trigger LANGUAGE plpgsql AS
    'BEGIN IF coalesce(current_setting(''guard.off'', true), '''') <> ''yes'' THEN RAISE EXCEPTION ''no % here'', tg_tag; END IF; END';
CREATE FUNCTION guard.note() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO seen VALUES (tg_tag); END';
CREATE TABLE guard.seen (tag text);
CREATE EVENT TRIGGER a_refuse ON ddl_command_start EXECUTE FUNCTION guard.refuse();
CREATE EVENT TRIGGER b_drop ON sql_drop WHEN TAG IN ('DROP TABLE', 'DROP INDEX') EXECUTE FUNCTION guard.refuse();
CREATE EVENT TRIGGER c_note ON ddl_command_end EXECUTE FUNCTION guard.note();
ALTER EVENT TRIGGER c_note DISABLE;
COMMENT ON EVENT TRIGGER a_refuse IS 'c';
