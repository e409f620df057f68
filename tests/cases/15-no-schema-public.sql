-- ends: whole
-- The schema public was dropped; everything is elsewhere.
DROP SCHEMA public CASCADE;
CREATE SCHEMA app;
CREATE TABLE app.item (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text);
INSERT INTO app.item (name) SELECT 'i' || i FROM generate_series(1, 100) i;
