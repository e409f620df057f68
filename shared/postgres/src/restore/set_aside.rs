//! Words for what a server refused: the reason, and what to do.

use lifeboat_model::SetAside;

use crate::error::{PostgresError, PostgresResult as Result};
use crate::restore::bare_table::elements;
use crate::restore::entry::Entry;
use crate::restore::outstanding::{Outstanding, Refused};
use crate::session::Session;

/// Bytes of a definition that are shown: enough for any index, constraint or trigger.
const MOST_DEFINITION_BYTES: usize = 4 * 1024;

/// The same statement for a constraint that new rows must keep, while those that are there are not checked.
pub(super) fn not_valid(refused: &Outstanding) -> Option<String> {
    let is_constraint = matches!(refused.entry.kind.as_str(), "FK CONSTRAINT" | "CHECK CONSTRAINT");
    let statement = refused.statement.as_ref().filter(|_| is_constraint)?;
    (!statement.ends_with("NOT VALID")).then(|| format!("{statement} NOT VALID"))
}

/// A constraint that came back NOT VALID.
pub(super) async fn describe_not_valid(session: &Session, refused: &Outstanding) -> Result<SetAside> {
    let entry = &refused.entry;
    let orphans = match entry.kind.as_str() {
        "FK CONSTRAINT" => orphans(session, entry).await?,
        _ => None,
    };
    let why = match orphans {
        Some((rows, parent)) => format!("{rows} row(s) refer to no row of `{parent}`"),
        None => why(&refused.why),
    };
    let (table, constraint) = table_and_own(entry);
    Ok(SetAside {
        reason: format!("it is restored NOT VALID: {why}"),
        what_to_do: format!(
            "correct or delete these rows, then run `ALTER TABLE {table} VALIDATE CONSTRAINT {constraint}`; new rows are checked already"
        ),
        ..unnamed(refused)
    })
}

/// An object that is missing.
pub(super) async fn describe(session: &Session, refused: &Outstanding, others: &[Outstanding]) -> Result<SetAside> {
    let duplicates = match (refused.why.sqlstate(), &refused.statement) {
        ("23505", Some(statement)) => duplicates(session, statement).await?,
        _ => None,
    };
    let reason = match duplicates {
        Some((keys, rows)) => format!("it is left out: {keys} key(s) are held by {rows} rows"),
        None => why(&refused.why),
    };
    let needed = others.iter().find(|other| refused.entry.dependencies.contains(&other.entry.id));
    let what_to_do = match needed.map(|needed| &needed.entry) {
        Some(needed) => format!(
            "it needs {} `{}`, which is set aside, too: restore that first, then run this definition",
            needed.kind.to_ascii_lowercase(),
            needed.object()
        ),
        None => what_to_do(refused),
    };
    Ok(SetAside { reason, what_to_do, ..unnamed(refused) })
}

fn unnamed(refused: &Outstanding) -> SetAside {
    let entry = &refused.entry;
    let definition = refused.statement.as_ref().filter(|_| entry.may_be_shown()).map(|statement| {
        let end = statement.floor_char_boundary(MOST_DEFINITION_BYTES);
        statement.get(..end).unwrap_or_default().to_owned()
    });
    SetAside {
        kind: entry.kind.to_ascii_lowercase(),
        object: entry.object(),
        reason: String::new(),
        what_to_do: String::new(),
        definition,
    }
}

fn why(refused: &Refused) -> String {
    match refused {
        Refused::Server(error) => error.to_string(),
        Refused::Tool(said) => said.clone(),
    }
}

fn table_and_own(entry: &Entry) -> (String, String) {
    let object = entry.object();
    match object.split_once(" on ") {
        Some((own, table)) => (table.to_owned(), own.to_owned()),
        None => (object.clone(), object),
    }
}

/// What a person can do, by the kind of the object and the server's code. Source of the codes: PostgreSQL documentation, appendix A.
fn what_to_do(refused: &Outstanding) -> String {
    let object = refused.entry.object();
    match (refused.entry.kind.as_str(), refused.why.sqlstate()) {
        ("EXTENSION", "0A000" | "58P01" | "22023") => {
            format!("install the package of extension `{object}` on this server, or restore on one that has it")
        }
        ("COLLATION", _) => {
            format!("install the locale of collation `{object}` on this server, or restore on one that has it")
        }
        ("TEXT SEARCH DICTIONARY", _) => {
            format!("put the files of dictionary `{object}` on this server, then run its definition")
        }
        (_, "58P01") => format!("install the library of `{object}` on this server, then run its definition"),
        (_, "23505") => "delete the duplicates, then run the definition".to_owned(),
        (_, "23503") => {
            format!("correct or delete the rows that refer to nothing, then run the definition of `{object}`")
        }
        (_, "23P01" | "23514" | "23502") => {
            format!("correct the rows that break it, then run the definition of `{object}`")
        }
        (_, "42501") => {
            format!(
                "run the definition of `{object}` as a role that may, such as a superuser or the provider's administrator"
            )
        }
        ("ACL", "42704") => {
            "the role is gone on the source, too: create it and grant again, or revoke it on the source".to_owned()
        }
        (_, "42P01" | "42883" | "42704" | "3F000") => format!(
            "write the names in the definition of `{object}`, and in the functions that it calls, with their schemas, or set \
             `search_path` on the function; then run it"
        ),
        (_, "42710" | "42P07" | "42P06" | "42723") => format!("compare `{object}` with the one that is there already"),
        _ => format!("run the definition of `{object}` by hand after its cause is removed"),
    }
}

/// The rows that break a foreign key, and the table that they refer to. `None` if they cannot be counted.
async fn orphans(session: &Session, entry: &Entry) -> Result<Option<(i64, String)>> {
    // As the server checks it: `RI_Initial_Check()` in ri_triggers.c.
    const SQL: &str = "
        SELECT pg_catalog.format(
            'SELECT pg_catalog.count(*) FROM %s %s AS f WHERE (%s) AND NOT EXISTS (SELECT FROM %s %s AS p WHERE %s)',
            CASE WHEN c.relkind = 'p' THEN '' ELSE 'ONLY' END, c.oid::pg_catalog.regclass,
            pg_catalog.string_agg(pg_catalog.format('f.%I IS NOT NULL', a.attname),
                                  CASE WHEN k.confmatchtype = 'f' THEN ' OR ' ELSE ' AND ' END),
            CASE WHEN r.relkind = 'p' THEN '' ELSE 'ONLY' END, r.oid::pg_catalog.regclass,
            pg_catalog.string_agg(pg_catalog.format('p.%I OPERATOR(%I.%s) f.%I', b.attname, n.nspname, o.oprname, a.attname), ' AND ')),
            r.oid::pg_catalog.regclass::text
        FROM pg_catalog.pg_constraint k
        JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
        JOIN pg_catalog.pg_class r ON r.oid = k.confrelid
        CROSS JOIN ROWS FROM (pg_catalog.unnest(k.conkey), pg_catalog.unnest(k.confkey), pg_catalog.unnest(k.conpfeqop)) AS u (f, p, op)
        JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.f
        JOIN pg_catalog.pg_attribute b ON b.attrelid = k.confrelid AND b.attnum = u.p
        JOIN pg_catalog.pg_operator o ON o.oid = u.op
        JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace
        WHERE k.contype = 'f' AND NOT k.convalidated AND k.conparentid = 0
          AND pg_catalog.replace(pg_catalog.format('%s on %s', k.conname, k.conrelid::pg_catalog.regclass), '\"', '') = $1
        GROUP BY c.oid, c.relkind, r.oid, r.relkind, k.confmatchtype";
    const STEP: &str = "counting orphans";
    let rows = session.rows(STEP, SQL, &[&entry.object()]).await?;
    let [row] = rows.as_slice() else { return Ok(None) };
    let (count, parent): (String, String) = (row.get(0), row.get(1));
    Ok(counted(session.row(STEP, &count, &[]).await)?.map(|row| (row.get(0), parent)))
}

/// How many keys have duplicates, and how many rows hold them. `None` if they cannot be counted.
async fn duplicates(session: &Session, statement: &str) -> Result<Option<(i64, i64)>> {
    let Some(key) = UniqueKey::read(statement) else { return Ok(None) };
    let row = session.row("counting duplicates", &key.count(), &[]).await;
    Ok(counted(row)?.map(|row| (row.get(0), row.get(1))))
}

/// A count that the server refuses is not made; a lost connection is an error.
fn counted(row: Result<tokio_postgres::Row>) -> Result<Option<tokio_postgres::Row>> {
    match row {
        Ok(row) => Ok(Some(row)),
        Err(PostgresError::Query { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The parts of a unique index or constraint, as `pg_dump` writes them.
#[derive(Debug, PartialEq, Eq)]
struct UniqueKey<'a> {
    table: &'a str,
    elements: Vec<&'a str>,
    condition: &'a str,
    nulls_are_distinct: bool,
}

impl<'a> UniqueKey<'a> {
    fn read(statement: &'a str) -> Option<Self> {
        let (table, rest) = match statement.strip_prefix("CREATE UNIQUE INDEX ") {
            Some(index) => {
                let (_, rest) = index.split_once(" ON ")?;
                rest.split_once(" USING ")?
            }
            None => statement.strip_prefix("ALTER TABLE ")?.split_once("\n    ADD CONSTRAINT ")?,
        };
        let open = ["PRIMARY KEY (", "UNIQUE NULLS NOT DISTINCT (", "UNIQUE (", "\"btree\" (", "btree ("]
            .into_iter()
            .filter_map(|begin| rest.find(begin).map(|at| at + begin.len()))
            .min()?;
        let inside = rest.get(open..)?;
        let (elements, end) = elements(inside)?;
        let after = inside.get(end..)?;
        let condition = after.split_once(" WHERE ").map_or("true", |(_, condition)| condition);
        Some(Self { table, elements, condition, nulls_are_distinct: !rest.contains("NULLS NOT DISTINCT") })
    }

    fn count(&self) -> String {
        let elements = self.elements.join(", ");
        let not_null: String = self.elements.iter().map(|element| format!(" AND ({element}) IS NOT NULL")).collect();
        let not_null = if self.nulls_are_distinct { not_null } else { String::new() };
        format!(
            "SELECT pg_catalog.count(*), COALESCE(pg_catalog.sum(k.rows), 0)::int8 FROM (
                SELECT pg_catalog.count(*) AS rows FROM {} WHERE ({}){not_null} GROUP BY {elements} HAVING pg_catalog.count(*) > 1
             ) AS k",
            self.table, self.condition
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_a_unique_index_or_constraint_is_read_from_its_statement() {
        let key = UniqueKey::read(
            "ALTER TABLE ONLY \"public\".\"t\"\n    ADD CONSTRAINT \"t_pkey\" PRIMARY KEY (\"a\", \"b,)\")",
        )
        .unwrap();
        assert_eq!((key.table, key.elements), ("ONLY \"public\".\"t\"", vec!["\"a\"", "\"b,)\""]));
        let key = UniqueKey::read(
            "CREATE UNIQUE INDEX \"i\" ON \"public\".\"t\" USING \"btree\" (\"lower\"(\"a\"), (\"b\" || ','::\"text\")) WHERE (\"c\" > 0)",
        )
        .unwrap();
        assert_eq!(key.elements, ["\"lower\"(\"a\")", "(\"b\" || ','::\"text\")"]);
        assert_eq!((key.condition, key.nulls_are_distinct), ("(\"c\" > 0)", true));
        let key = UniqueKey::read("ALTER TABLE ONLY t\n    ADD CONSTRAINT u UNIQUE NULLS NOT DISTINCT (a)").unwrap();
        assert!(!key.nulls_are_distinct);
        assert_eq!(UniqueKey::read("CREATE INDEX i ON t USING btree (a)"), None);
    }
}
