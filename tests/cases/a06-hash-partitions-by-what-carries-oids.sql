-- ends: whole
-- Hash partitions by an array, a composite and a range of an enum, and by regclass: rows move on restore. (A range over int stays.)
CREATE TYPE tint AS ENUM ('red', 'green', 'blue', 'black', 'white');
CREATE TYPE tinted AS (tint tint, depth int);
CREATE TYPE tint_range AS RANGE (subtype = tint);
CREATE TYPE own_range AS RANGE (subtype = int);
CREATE TABLE by_array (id int, k tint[]) PARTITION BY HASH (k);
CREATE TABLE by_composite (id int, k tinted) PARTITION BY HASH (k);
CREATE TABLE by_range (id int, k tint_range) PARTITION BY HASH (k);
CREATE TABLE by_own_range (id int, k own_range) PARTITION BY HASH (k);
CREATE TABLE by_relation (id int, k regclass) PARTITION BY HASH (k);
SELECT format('CREATE TABLE %s_%s PARTITION OF %1$s FOR VALUES WITH (MODULUS 5, REMAINDER %2$s)', t, r)
    FROM unnest('{by_array,by_composite,by_range,by_own_range,by_relation}'::text[]) t, generate_series(0, 4) r \gexec
INSERT INTO by_array SELECT i, ARRAY[(enum_range(NULL::tint))[1 + i % 5], 'red'] FROM generate_series(1, 100) i;
INSERT INTO by_composite SELECT i, ROW((enum_range(NULL::tint))[1 + i % 5], i % 3)::tinted FROM generate_series(1, 100) i;
INSERT INTO by_range SELECT i, tint_range('red', (enum_range(NULL::tint))[2 + i % 4]) FROM generate_series(1, 100) i;
INSERT INTO by_own_range SELECT i, own_range(i, i + 3) FROM generate_series(1, 100) i;
INSERT INTO by_relation SELECT row_number() OVER (), oid FROM pg_class WHERE relname LIKE 'by\_%' AND relkind IN ('p', 'r');
