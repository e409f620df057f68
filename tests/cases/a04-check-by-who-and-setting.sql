-- ends: rows-whole
-- aside: check constraint by_old_function_v_check on public.by_old_function
-- aside: check constraint by_setting_tenant_check on public.by_setting
-- aside: check constraint by_user_who_check on public.by_user
-- aside: check constraint by_zone_at_check on public.by_zone
-- CHECKs that read the session: a setting that is not set elsewhere, the user's name, the time zone, and a function made stricter later.
SELECT 'CREATE ROLE case04_tenant' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'case04_tenant') \gexec
SET app.tenant = 't1';
CREATE TABLE by_setting (id int PRIMARY KEY, tenant text CHECK (tenant = current_setting('app.tenant')));
INSERT INTO by_setting SELECT i, 't1' FROM generate_series(1, 30) i;
CREATE TABLE by_user (id int PRIMARY KEY, who text CHECK (who = CURRENT_USER));
GRANT ALL ON by_user TO case04_tenant;
SET ROLE case04_tenant;
INSERT INTO by_user SELECT i, 'case04_tenant' FROM generate_series(1, 30) i;
RESET ROLE;
SET TimeZone = 'Pacific/Auckland';
CREATE TABLE by_zone (id int PRIMARY KEY, at timestamptz CHECK (extract(hour FROM at) = 0));
INSERT INTO by_zone SELECT i, timestamptz '2024-01-01 00:00:00' + i * interval '1 day' FROM generate_series(1, 30) i;
CREATE FUNCTION good(v int) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT v > 0';
CREATE TABLE by_old_function (id int PRIMARY KEY, v int CHECK (good(v)));
INSERT INTO by_old_function SELECT i, i FROM generate_series(1, 30) i;
CREATE OR REPLACE FUNCTION good(v int) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT v > 5';
