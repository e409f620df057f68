-- ends: whole
-- Schema public was dropped and made again: owned by postgres, without the comment, without any grants.
DROP SCHEMA public;
CREATE SCHEMA public;
CREATE TABLE public.item (id int PRIMARY KEY);
INSERT INTO public.item SELECT generate_series(1, 20);
