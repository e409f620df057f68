-- ends: rows-whole
-- aside: fk constraint purchase_customer on public.purchase
-- Rows that a valid foreign key should not allow: they came while its triggers were off.
CREATE TABLE customer (id int PRIMARY KEY);
CREATE TABLE purchase (id int PRIMARY KEY, customer int NOT NULL CONSTRAINT purchase_customer REFERENCES customer);
CREATE TABLE other (id int PRIMARY KEY, customer int REFERENCES customer);
INSERT INTO customer SELECT generate_series(1, 100);
INSERT INTO purchase SELECT i, i FROM generate_series(1, 100) i;
INSERT INTO other SELECT i, i FROM generate_series(1, 100) i;
SET session_replication_role = replica;
DELETE FROM customer WHERE id = 42;
DELETE FROM other WHERE id = 42;
RESET session_replication_role;
