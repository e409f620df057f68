-- ends: rows-whole
-- aside: check constraint not_long_ago on public.visit
-- aside: check constraint still_good on public.ticket
-- A CHECK against the clock: the rows were right when they came, and are not any more (a minute's wait, here put back by hand).
CREATE TABLE visit (id int PRIMARY KEY, scheduled_at timestamptz NOT NULL CONSTRAINT not_long_ago CHECK (scheduled_at > now() - interval '1 day'), note text);
CREATE TABLE ticket (id int PRIMARY KEY, until timestamptz NOT NULL CONSTRAINT still_good CHECK (until > clock_timestamp()));
INSERT INTO visit SELECT i, now() + i * interval '1 h', 'v' || i FROM generate_series(1, 50) i;
INSERT INTO ticket SELECT i, clock_timestamp() + interval '1 s' + i * interval '1 ms' FROM generate_series(1, 50) i;
ALTER TABLE visit DROP CONSTRAINT not_long_ago;
UPDATE visit SET scheduled_at = now() - interval '3 day' WHERE id <= 7;
ALTER TABLE visit ADD CONSTRAINT not_long_ago CHECK (scheduled_at > now() - interval '1 day') NOT VALID;
UPDATE pg_constraint SET convalidated = true WHERE conname = 'not_long_ago';
SELECT pg_sleep(1.2);
