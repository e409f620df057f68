//! Constraints that are taken off a table so that its rows can be loaded, and put back afterwards: CHECK and NOT NULL.

use lifeboat_model::SetAside;
use serde::{Deserialize, Serialize};

use crate::error::{PostgresError, PostgresResult as Result};
use crate::restore::done_marks::DoneMarks;
use crate::restore::unit::{Ran, Unit, read_note, write_note};
use crate::session::Session;
use crate::session::identifier::{RelationName, quote_identifier, quote_literal};

const STEP: &str = "taking off constraints";

/// How often a deadlock with other loading sessions is tried again. There are few of them.
const ATTEMPTS: u32 = 5;

/// What stands in the way of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Check,
    NotNull,
}

/// The checks of a table and of the tables that it inherits them from or hands them on to: table, name, definition, whether the table states
/// it itself, whether another hands it down, how far the table is from the top, and the comment.
const CHECKS_OF_TABLE: &str = "
    WITH RECURSIVE above (rel) AS (
        SELECT pg_catalog.to_regclass($1)::oid UNION
        SELECT i.inhparent FROM pg_catalog.pg_inherits i JOIN above ON i.inhrelid = above.rel
    ), same (rel, conname) AS (
        SELECT k.conrelid, k.conname FROM pg_catalog.pg_constraint k
        WHERE k.contype = 'c' AND k.conrelid IN (SELECT rel FROM above)
          AND k.conname IN (SELECT o.conname FROM pg_catalog.pg_constraint o
                            WHERE o.contype = 'c' AND o.conrelid = pg_catalog.to_regclass($1)::oid)
        UNION
        SELECT i.inhrelid, same.conname FROM pg_catalog.pg_inherits i JOIN same ON i.inhparent = same.rel
    )
    SELECT k.conrelid::pg_catalog.regclass::text, k.conname::text, pg_catalog.pg_get_constraintdef(k.oid), k.conislocal,
           k.coninhcount > 0,
           (WITH RECURSIVE up (rel, n) AS (
                SELECT k.conrelid, 0 UNION ALL
                SELECT i.inhparent, up.n + 1 FROM pg_catalog.pg_inherits i JOIN up ON i.inhrelid = up.rel)
            SELECT pg_catalog.max(n) FROM up) AS depth,
           pg_catalog.obj_description(k.oid, 'pg_constraint')
    FROM pg_catalog.pg_constraint k JOIN same ON same.rel = k.conrelid AND same.conname = k.conname
    WHERE k.contype = 'c' ORDER BY depth, 1, 2";

/// The columns of a table that take no NULL, and those of the same name in the tables above and below: table, column, depth. A key makes its
/// own; there is none yet.
const NOT_NULLS_OF_TABLE: &str = "
    WITH RECURSIVE above (rel) AS (
        SELECT pg_catalog.to_regclass($1)::oid UNION
        SELECT i.inhparent FROM pg_catalog.pg_inherits i JOIN above ON i.inhrelid = above.rel
    ), family (rel) AS (
        SELECT rel FROM above UNION SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN family ON i.inhparent = family.rel
    )
    SELECT a.attrelid::pg_catalog.regclass::text, a.attname::text,
           (WITH RECURSIVE up (rel, n) AS (
                SELECT a.attrelid, 0 UNION ALL
                SELECT i.inhparent, up.n + 1 FROM pg_catalog.pg_inherits i JOIN up ON i.inhrelid = up.rel)
            SELECT pg_catalog.max(n) FROM up) AS depth
    FROM pg_catalog.pg_attribute a JOIN family ON family.rel = a.attrelid
    WHERE a.attnum > 0 AND a.attnotnull AND NOT a.attisdropped AND a.attidentity = ''
      AND a.attname IN (SELECT o.attname FROM pg_catalog.pg_attribute o
                        WHERE o.attrelid = pg_catalog.to_regclass($1)::oid AND o.attnotnull)
    ORDER BY depth, 1, 2";

/// The domains in a table's columns, also within arrays, composites, ranges and other domains.
macro_rules! domains {
    ($columns:literal) => {
        concat!(
            "WITH RECURSIVE types (oid) AS (
                SELECT a.atttypid FROM pg_catalog.pg_attribute a
                WHERE a.attrelid = pg_catalog.to_regclass($1)::oid AND a.attnum > 0 AND NOT a.attisdropped
                UNION
                SELECT part.oid FROM types JOIN pg_catalog.pg_type t ON t.oid = types.oid
                CROSS JOIN LATERAL (
                    SELECT t.typbasetype WHERE t.typbasetype <> 0 UNION ALL
                    SELECT t.typelem WHERE t.typelem <> 0 UNION ALL
                    SELECT a.atttypid FROM pg_catalog.pg_attribute a
                    WHERE t.typrelid <> 0 AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped UNION ALL
                    SELECT r.rngsubtype FROM pg_catalog.pg_range r WHERE t.oid IN (r.rngtypid, r.rngmultitypid)
                ) AS part (oid)
            )
            SELECT pg_catalog.format('%I.%I', n.nspname, t.typname), ",
            $columns
        )
    };
}

const CHECKS_OF_DOMAINS: &str = domains!(
    "k.conname::text, pg_catalog.pg_get_constraintdef(k.oid), pg_catalog.obj_description(k.oid, 'pg_constraint')
     FROM pg_catalog.pg_constraint k JOIN types ON types.oid = k.contypid
     JOIN pg_catalog.pg_type t ON t.oid = k.contypid JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
     WHERE k.contype = 'c' ORDER BY 1, 2"
);

const NOT_NULLS_OF_DOMAINS: &str = domains!(
    "t.typname::text FROM types JOIN pg_catalog.pg_type t ON t.oid = types.oid
     JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace WHERE t.typnotnull ORDER BY 1"
);

/// A constraint that was taken off, and how it comes back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Relaxed {
    kind: String,
    /// As an inventory names it.
    object: String,
    drop: Option<String>,
    /// `None` where it comes from a table above.
    add: Option<String>,
    /// The same for new rows only, and the statement that checks the others.
    not_valid: Option<(String, String)>,
    comment: Option<String>,
    depth: i32,
}

/// Takes all constraints of a kind off a table and its columns' domains, in one transaction. Returns none where the role may not.
///
/// They are the note of the unit, if there is one: a later attempt has to put them back.
pub(super) async fn relax(
    session: &Session,
    table: &RelationName,
    kind: Kind,
    unit: Option<&Unit>,
) -> Result<Vec<Relaxed>> {
    let name = table.sql();
    let mut relaxed = Vec::new();
    match kind {
        Kind::Check => {
            let of_table = session.rows(STEP, CHECKS_OF_TABLE, &[&name]).await?;
            relaxed.extend(of_table.iter().map(check_of_table));
            let of_domains = session.rows(STEP, CHECKS_OF_DOMAINS, &[&name]).await?;
            relaxed.extend(of_domains.iter().map(check_of_domain));
        }
        Kind::NotNull => {
            let of_table = session.rows(STEP, NOT_NULLS_OF_TABLE, &[&name]).await?;
            relaxed.extend(of_table.iter().map(not_null_of_table));
            let of_domains = session.rows(STEP, NOT_NULLS_OF_DOMAINS, &[&name]).await?;
            relaxed.extend(of_domains.iter().map(not_null_of_domain));
        }
    }
    let statements: Vec<&str> = relaxed.iter().filter_map(|one| one.drop.as_deref()).collect();
    if statements.is_empty() {
        return Ok(Vec::new());
    }
    let statements = statements.join("; ");
    let mut attempts = 1..=ATTEMPTS;
    loop {
        let done = match unit {
            Some(unit) => unit.run(session, STEP, Some(&write_note(&relaxed)?), &statements).await,
            None => run_as_one(session, &statements).await,
        };
        let refused = match done {
            Ok(Ran::Before(Some(note))) => return read_note(&note),
            Ok(Ran::Now | Ran::Before(None)) => return Ok(relaxed),
            Err(error) if error.is_a_refusal() => error,
            Err(error) => return Err(error),
        };
        // A session that begins to load another partition can be in its way.
        let is_in_the_way = matches!(refused.sqlstate(), Some("40P01" | "55P03"));
        if !is_in_the_way || attempts.next().is_none() {
            return Ok(Vec::new());
        }
    }
}

/// Sessions that load the table end their COPY first, however long it takes.
async fn run_as_one(session: &Session, statements: &str) -> Result<Ran> {
    let all = format!("BEGIN; SET LOCAL lock_timeout = 0; {statements}; COMMIT");
    let done = session.run(STEP, &all).await;
    if done.as_ref().is_err_and(PostgresError::is_a_refusal) {
        session.run(STEP, "ROLLBACK").await?;
    }
    done.map(|()| Ran::Now)
}

fn check_of_table(row: &tokio_postgres::Row) -> Relaxed {
    let (table, name, definition): (String, String, String) = (row.get(0), row.get(1), row.get(2));
    let (is_local, is_inherited): (bool, bool) = (row.get(3), row.get(4));
    // What is only inherited goes and comes with the table above.
    check(&format!("TABLE {table}"), &table, &name, &definition, row.get(6))
        .placed(row.get(5), is_local || !is_inherited)
}

fn check_of_domain(row: &tokio_postgres::Row) -> Relaxed {
    let (domain, name, definition): (String, String, String) = (row.get(0), row.get(1), row.get(2));
    check(&format!("DOMAIN {domain}"), &format!("domain {domain}"), &name, &definition, row.get(3)).placed(0, true)
}

fn check(owner: &str, on: &str, name: &str, definition: &str, comment: Option<String>) -> Relaxed {
    let quoted = quote_identifier(name);
    let add = format!("ALTER {owner} ADD CONSTRAINT {quoted} {definition}");
    let on_in_sql = owner.strip_prefix("TABLE ").unwrap_or(owner);
    Relaxed {
        kind: "check constraint".to_owned(),
        object: format!("{name} on {on}"),
        drop: Some(format!("ALTER {owner} DROP CONSTRAINT IF EXISTS {quoted}")),
        not_valid: Some((format!("{add} NOT VALID"), format!("ALTER {owner} VALIDATE CONSTRAINT {quoted}"))),
        add: Some(add),
        comment: comment
            .map(|text| format!("COMMENT ON CONSTRAINT {quoted} ON {on_in_sql} IS {}", quote_literal(&text))),
        depth: 0,
    }
}

fn not_null_of_table(row: &tokio_postgres::Row) -> Relaxed {
    let (table, column): (String, String) = (row.get(0), row.get(1));
    let column = quote_identifier(&column);
    // A partition takes no NULL as long as the table above does not.
    let drop = format!("ALTER TABLE {table} ALTER COLUMN {column} DROP NOT NULL");
    let add = format!("ALTER TABLE ONLY {table} ALTER COLUMN {column} SET NOT NULL");
    not_null(table, drop, add).placed(row.get(2), true)
}

fn not_null_of_domain(row: &tokio_postgres::Row) -> Relaxed {
    let domain: String = row.get(0);
    let (drop, add) = (format!("ALTER DOMAIN {domain} DROP NOT NULL"), format!("ALTER DOMAIN {domain} SET NOT NULL"));
    not_null(domain, drop, add)
}

fn not_null(object: String, drop: String, add: String) -> Relaxed {
    let kind = "not null".to_owned();
    Relaxed { kind, object, drop: Some(drop), add: Some(add), not_valid: None, comment: None, depth: 0 }
}

/// Puts constraints back: whole if the rows hold, with one of the search paths if need be, else NOT VALID. Returns those that are not what they
/// were.
pub(super) async fn reinstate(
    session: &Session,
    mut relaxed: Vec<Relaxed>,
    search_paths: &[String],
    marks: Option<&DoneMarks>,
) -> Result<Vec<SetAside>> {
    const STEP: &str = "putting constraints back";
    // A table that states a check itself must have it before the table above hands it down: they merge.
    relaxed.sort_by_key(|one| std::cmp::Reverse(one.depth));
    let mut weaker = Vec::new();
    for one in &relaxed {
        let Some(add) = &one.add else { continue };
        let unit = Unit::named("constraint put back", add);
        if let Some(note) = marks.and_then(|marks| marks.note(&unit)) {
            weaker.extend(note.map(read_note::<SetAside>).transpose()?);
            continue;
        }
        let paths = std::iter::once("''").chain(search_paths.iter().map(String::as_str));
        let whole = paths.map(|path| (path, add, None));
        let not_valid = one.not_valid.iter().map(|(add, validate)| ("''", add, Some(validate)));
        let mut refused: Option<String> = None;
        for (path, add, validate) in whole.chain(not_valid) {
            let comment = one.comment.as_ref().map(|comment| format!("; {comment}")).unwrap_or_default();
            let sql = format!("SET search_path = {path}; {add}{comment}");
            let is_weaker = validate.map(|sql| one.came_back_not_valid(refused.as_deref().unwrap_or_default(), sql));
            let done = match marks {
                Some(_) => {
                    let note = is_weaker.as_ref().map(write_note).transpose()?;
                    unit.run(session, STEP, note.as_deref(), &sql).await
                }
                None => session.run(STEP, &sql).await.map(|()| Ran::Now),
            };
            match done {
                Ok(ran) => {
                    weaker.extend(match ran {
                        Ran::Now => is_weaker,
                        Ran::Before(note) => note.as_deref().map(read_note).transpose()?,
                    });
                    refused = None;
                    break;
                }
                Err(PostgresError::Query { source, .. }) if !source.ends_a_restore() => {
                    refused.get_or_insert(source.to_string());
                }
                Err(error) => return Err(error),
            }
        }
        weaker.extend(refused.map(|why| one.is_missing(&why)));
    }
    session.run(STEP, "SET search_path = ''").await?;
    Ok(weaker)
}

impl Relaxed {
    fn placed(self, depth: i32, is_stated_here: bool) -> Self {
        let of_here = |sql: Option<String>| sql.filter(|_| is_stated_here);
        Self { depth, drop: of_here(self.drop), add: of_here(self.add), ..self }
    }

    fn set_aside(&self, reason: String, what_to_do: String) -> SetAside {
        let (kind, object, definition) = (self.kind.clone(), self.object.clone(), self.add.clone());
        SetAside { kind, object, reason, what_to_do, definition }
    }

    fn came_back_not_valid(&self, why: &str, validate: &str) -> SetAside {
        self.set_aside(
            format!("it is restored NOT VALID, because rows of the backup do not hold it now: {why}"),
            format!("nothing if it reads the clock; else correct these rows and run `{validate}`; new rows are checked already"),
        )
    }

    fn is_missing(&self, why: &str) -> SetAside {
        self.set_aside(why.to_owned(), "correct the rows, then run the definition".to_owned())
    }
}
