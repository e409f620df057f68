-- ends: rows-whole
-- aside: check constraint in_future on domain public.soon
-- Domains whose CHECKs read a table, and the clock; used as a column, in an array, in a composite, as a range's bound.
CREATE TABLE country (code text PRIMARY KEY);
INSERT INTO country VALUES ('de'), ('fr'), ('it');
CREATE FUNCTION is_country(c text) RETURNS bool STABLE LANGUAGE sql AS 'SELECT EXISTS (SELECT FROM public.country WHERE code = c)';
CREATE DOMAIN country_code AS text CONSTRAINT known CHECK (public.is_country(VALUE));
CREATE DOMAIN soon AS timestamptz CONSTRAINT in_future CHECK (VALUE > clock_timestamp());
CREATE TYPE address AS (street text, country country_code);
CREATE TABLE address_book (id int PRIMARY KEY, home address, visited country_code[], born country_code);
INSERT INTO address_book SELECT i, ROW('s' || i, 'de'::country_code)::address, ARRAY['fr', 'it']::country_code[], 'it' FROM generate_series(1, 40) i;
CREATE TABLE alarm (id int PRIMARY KEY, at soon);
INSERT INTO alarm SELECT i, clock_timestamp() + interval '900 ms' FROM generate_series(1, 20) i;
SELECT pg_sleep(1);
