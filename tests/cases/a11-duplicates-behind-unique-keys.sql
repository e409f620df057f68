-- ends: rows-whole
-- aside: constraint account_pkey on public.account
-- aside: constraint one_mail on public.account
-- aside: fk constraint fine_account_fkey on public.fine
-- aside: fk constraint login_account on public.login
-- aside: index public.account_name
-- aside: rule _RETURN on public.logins
-- Duplicates behind a primary key (with a foreign key, a view by its functional dependency and a replica identity on it), a unique constraint, an expression's unique index, a partial one.
CREATE TABLE account (id int PRIMARY KEY, mail text CONSTRAINT one_mail UNIQUE DEFERRABLE, name text);
CREATE UNIQUE INDEX account_name ON account (lower(name)) WHERE name <> '';
CREATE TABLE login (id int PRIMARY KEY, account int CONSTRAINT login_account REFERENCES account);
CREATE VIEW logins AS SELECT a.id, a.mail, count(*) FROM account a JOIN login l ON l.account = a.id GROUP BY a.id;
CREATE MATERIALIZED VIEW login_count AS SELECT * FROM logins;
ALTER TABLE account CLUSTER ON account_pkey;
CREATE TABLE fine (id int PRIMARY KEY, account int REFERENCES account);
INSERT INTO account SELECT i, 'm' || i, 'N' || i FROM generate_series(1, 50) i;
INSERT INTO login SELECT i, i FROM generate_series(1, 50) i;
INSERT INTO fine SELECT i, i FROM generate_series(1, 50) i;
UPDATE pg_index SET indisunique = false WHERE indrelid = 'account'::regclass;
INSERT INTO account VALUES (7, 'm8', 'n9'), (60, 'm1', 'x'), (61, 'm61', 'N3');
UPDATE pg_index SET indisunique = true WHERE indrelid = 'account'::regclass;
ALTER TABLE account REPLICA IDENTITY USING INDEX account_pkey;
