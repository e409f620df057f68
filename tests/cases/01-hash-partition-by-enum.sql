-- ends: whole
-- Hash partitions over an enum: a row's partition depends on the OID of its label, which is another one after a restore.
CREATE TYPE parcel_state AS ENUM ('new', 'packed', 'sent', 'lost', 'returned', 'refused');
CREATE TABLE parcel (id int NOT NULL, state parcel_state NOT NULL, note text) PARTITION BY HASH (state);
SELECT format('CREATE TABLE parcel_%s PARTITION OF parcel FOR VALUES WITH (MODULUS 7, REMAINDER %s)', r, r) FROM generate_series(0, 6) r \gexec
INSERT INTO parcel SELECT i, (enum_range(NULL::parcel_state))[1 + i % 6], 'n' || i FROM generate_series(1, 600) i;
ALTER TABLE parcel ADD PRIMARY KEY (id, state);
