-- ends: whole
-- Constraints merged, local and inherited at once, valid on a parent and not on its child and the other way round, from two parents, NO INHERIT, cut off by NO INHERIT, conislocal set by hand.
CREATE TABLE p1 (a int CONSTRAINT a_pos CHECK (a > 0), b int);
CREATE TABLE p2 (a int CONSTRAINT a_pos CHECK (a > 0), c int, CONSTRAINT only_p2 CHECK (c > 0) NO INHERIT);
CREATE TABLE two_parents () INHERITS (p1, p2);
CREATE TABLE own_too (a int CONSTRAINT a_pos CHECK (a > 0)) INHERITS (p1);
CREATE TABLE later (a int, b int, CONSTRAINT a_pos CHECK (a > 0), CONSTRAINT mine CHECK (b < 100));
ALTER TABLE later INHERIT p1;
ALTER TABLE p1 ADD CONSTRAINT b_low CHECK (b < 100) NOT VALID;
ALTER TABLE own_too VALIDATE CONSTRAINT b_low;
CREATE TABLE cut () INHERITS (p1);
ALTER TABLE cut NO INHERIT p1;
CREATE TABLE grand (d int) INHERITS (own_too);
ALTER TABLE ONLY p1 ADD CONSTRAINT not_below CHECK (a < 1000) NO INHERIT;
CREATE TABLE half (a int, b int, CONSTRAINT a_pos CHECK (a > 0), CONSTRAINT b_low CHECK (b < 100));
INSERT INTO half VALUES (1, 1);
ALTER TABLE half INHERIT p1;
UPDATE pg_constraint SET conislocal = true WHERE conrelid = 'grand'::regclass AND conname = 'a_pos';
UPDATE pg_constraint SET conislocal = false WHERE conrelid = 'half'::regclass AND conname = 'a_pos';
INSERT INTO p1 VALUES (1, 2), (2, 50);
INSERT INTO two_parents VALUES (1, 2, 3);
INSERT INTO own_too VALUES (5, 6);
INSERT INTO later VALUES (7, 8);
INSERT INTO cut VALUES (7, 8);
INSERT INTO grand VALUES (9, 9, 9);
