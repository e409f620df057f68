-- ends: whole
-- A CHECK that looks into another table: rows can only be loaded after that table's.
CREATE TABLE zone (code text PRIMARY KEY, is_open bool NOT NULL);
CREATE FUNCTION zone_is_open(code text) RETURNS bool STABLE LANGUAGE sql AS
    'SELECT EXISTS (SELECT FROM public.zone z WHERE z.code = $1 AND z.is_open)';
CREATE TABLE delivery (id int PRIMARY KEY, zone text NOT NULL CONSTRAINT zone_is_open CHECK (public.zone_is_open(zone)));
INSERT INTO zone VALUES ('n', true), ('s', true);
INSERT INTO delivery SELECT i, CASE WHEN i % 2 = 0 THEN 'n' ELSE 's' END FROM generate_series(1, 500) i;
