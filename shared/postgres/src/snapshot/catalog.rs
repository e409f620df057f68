//! The catalog in a snapshot: every relation, what a backup does with it, and how its rows are read.

use std::collections::{HashMap, HashSet};

use lifeboat_model::{CopyFormat, LeftOut, RelationKind};
use tokio_postgres::Row;

use crate::error::{PostgresError, PostgresResult as Result};
use crate::session::Session;
use crate::session::identifier::{MARKS_SCHEMA, RelationName};
use crate::snapshot::copy_format::TypeCatalog;
use crate::snapshot::relation::{Disposition, Relation};

/// Relations outside PostgreSQL's own schemas, and those that a user created in them. Temporary relations belong to their
/// sessions, and the marks of an unfinished restore to it. `row_security_active` answers for this role with `row_security=off`. The privilege functions read the current
/// catalog, and give NULL for relations that were dropped since.
const RELATIONS: &str = "
    SELECT c.oid, n.nspname::text, c.relname::text, c.relkind::text, c.relfilenode, c.relpersistence::text,
           c.relispopulated, COALESCE(am.amname = 'heap', false),
           pg_catalog.has_schema_privilege(n.oid, 'USAGE'),
           CASE WHEN c.relkind = 'S' THEN pg_catalog.has_sequence_privilege(c.oid, 'SELECT')
                ELSE pg_catalog.has_table_privilege(c.oid, 'SELECT') END,
           c.relkind IN ('r', 'p') AND pg_catalog.row_security_active(c.oid),
           e.extname::text, e.extcondition[pg_catalog.array_position(e.extconfig, c.oid)],
           COALESCE(c.oid = ANY (e.extconfig), false), pg_catalog.pg_is_in_recovery()
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_catalog.pg_am am ON am.oid = c.relam
    LEFT JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid
          AND d.objsubid = 0 AND d.deptype = 'e' AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass
    LEFT JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
      AND (n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') OR c.oid >= 16384)
      AND n.nspname !~ '^pg_(toast_)?temp_'
    ORDER BY n.nspname, c.relname";

/// Columns in order, with those that COPY leaves out marked.
const COLUMNS: &str = "
    SELECT a.attrelid, a.attnum, a.attname::text, a.atttypid, a.atttypmod, a.attgenerated <> ''
    FROM pg_catalog.pg_attribute a
    WHERE a.attrelid = ANY ($1) AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY a.attrelid, a.attnum";

/// The relations with these names and all their partitions, each with the number of its name, counted from 1.
const NAMED: &str = "
    WITH RECURSIVE named (oid, relkind, number) AS (
        SELECT c.oid, c.relkind, one.number
        FROM ROWS FROM (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::text[])) WITH ORDINALITY AS one (schema, name, number)
        JOIN pg_catalog.pg_namespace n ON n.nspname = one.schema
        JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = one.name
        UNION
        SELECT c.oid, c.relkind, named.number
        FROM named
        JOIN pg_catalog.pg_inherits i ON i.inhparent = named.oid AND named.relkind = 'p'
        JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid)
    SELECT oid, number FROM named ORDER BY number DESC";

/// A foreign key from another table to one of these. A foreign key that was never validated needs no rows.
const REFERRER: &str = "
    SELECT fk.conrelid, fk.confrelid
    FROM pg_catalog.pg_constraint fk
    WHERE fk.contype = 'f' AND fk.convalidated AND fk.confrelid = ANY ($1) AND fk.conrelid <> ALL ($1)
    ORDER BY fk.conparentid, fk.conrelid::pg_catalog.regclass::text LIMIT 1";

/// The sequences that these tables own, each with its table.
const OWNED: &str = "
    SELECT d.objid, d.refobjid
    FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_class c ON c.oid = d.objid AND c.relkind = 'S'
    WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refclassid = d.classid
      AND d.refobjid = ANY ($1) AND d.deptype IN ('a', 'i')";

/// Objects that need the definition of one of these relations or its row type: a view or a rule, a partition or a child, a default,
/// a foreign key, a policy, a column of that type, a function, a domain. Members of extensions come with the extension.
const NEEDS: &str = "
    WITH needed (classid, objid, relation) AS (
        SELECT 'pg_catalog.pg_class'::pg_catalog.regclass, c.oid, c.oid FROM pg_catalog.pg_class c WHERE c.oid = ANY ($1)
        UNION ALL
        SELECT 'pg_catalog.pg_type'::pg_catalog.regclass, t.oid, c.oid
        FROM pg_catalog.pg_class c JOIN pg_catalog.pg_type r ON r.oid = c.reltype
        JOIN pg_catalog.pg_type t ON t.oid IN (r.oid, r.typarray)
        WHERE c.oid = ANY ($1))
    SELECT needed.relation,
           CASE WHEN by.oid IS NULL THEN pg_catalog.pg_describe_object(d.classid, d.objid, 0)
                ELSE pg_catalog.pg_describe_object('pg_catalog.pg_class'::pg_catalog.regclass, by.oid, 0) END
    FROM needed
    JOIN pg_catalog.pg_depend d ON d.refclassid = needed.classid AND d.refobjid = needed.objid
    LEFT JOIN pg_catalog.pg_rewrite w ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND w.oid = d.objid
    LEFT JOIN pg_catalog.pg_attrdef f ON d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND f.oid = d.objid
    LEFT JOIN pg_catalog.pg_constraint k ON d.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass AND k.oid = d.objid
    LEFT JOIN pg_catalog.pg_policy y ON d.classid = 'pg_catalog.pg_policy'::pg_catalog.regclass AND y.oid = d.objid
    LEFT JOIN pg_catalog.pg_class c ON d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND c.oid = d.objid
    LEFT JOIN pg_catalog.pg_type t ON d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass AND t.oid = d.objid AND t.typtype = 'd'
    LEFT JOIN pg_catalog.pg_class by ON by.oid = COALESCE(w.ev_class, f.adrelid, k.conrelid, y.polrelid, c.oid)
    WHERE (by.oid <> ALL ($1) AND by.relkind NOT IN ('i', 'I', 't') OR t.oid IS NOT NULL
           OR d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass)
      AND NOT EXISTS (
          SELECT FROM pg_catalog.pg_depend e
          WHERE e.deptype = 'e' AND (by.oid IS NULL AND e.classid = d.classid AND e.objid = d.objid
                OR e.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND e.objid = by.oid))
    ORDER BY 2 LIMIT 1";

const READING: &str = "reading the catalog";

/// Lists every relation in the session's snapshot, without its columns and its size.
///
/// Fails with [`PostgresError::LeftOutIsReferenced`] when a restore would need rows that are left out.
pub(crate) async fn list_relations(session: &Session, user: &str, left_out: &[LeftOut]) -> Result<Vec<Relation>> {
    let rows = session.rows(READING, RELATIONS, &[]).await?;
    let mut relations = rows.iter().map(|row| relation(row, user)).collect::<Result<Vec<_>>>()?;
    if !left_out.is_empty() {
        leave_out(session, &mut relations, left_out).await?;
    }
    Ok(relations)
}

/// Reads the columns of the tables that are copied, and the form in which their rows are read.
pub(crate) async fn describe(session: &Session, relations: &mut [Relation]) -> Result<()> {
    let copied: Vec<u32> = relations.iter().filter(|r| r.is_copied()).map(|relation| relation.oid).collect();
    let types = TypeCatalog::read(session).await?;
    let mut columns = Columns::read(session, &copied, &types).await?;
    for relation in relations.iter_mut().filter(|r| r.is_copied()) {
        let read = columns.0.remove(&relation.oid).unwrap_or_default();
        relation.format = if read.text_only { CopyFormat::Text } else { CopyFormat::Binary };
        relation.columns_hash = blake3::hash(read.described.as_bytes()).to_hex().to_string();
        relation.columns = read.names;
    }
    Ok(())
}

fn relation(row: &Row, user: &str) -> Result<Relation> {
    let relkind: String = row.get(3);
    let kind = match relkind.as_str() {
        "r" => RelationKind::Table,
        "p" => RelationKind::PartitionedTable,
        "v" => RelationKind::View,
        "m" => RelationKind::MaterializedView,
        "f" => RelationKind::ForeignTable,
        "S" => RelationKind::Sequence,
        _ => {
            return Err(PostgresError::UnexpectedAnswer {
                step: READING.to_owned(),
                fact: format!("relkind `{relkind}` was not asked for"),
            });
        }
    };
    let extension_filter: Option<String> = row.get(12);
    let filter_given = extension_filter.as_ref().is_some_and(|filter| !filter.trim().is_empty());
    let is_heap: bool = row.get(7);
    let access = Access {
        usage: row.get::<_, Option<bool>>(8).unwrap_or(true),
        select: row.get::<_, Option<bool>>(9).unwrap_or(true),
        row_security: row.get::<_, Option<bool>>(10).unwrap_or(false),
        unlogged_on_standby: row.get::<_, String>(5) == "u" && row.get::<_, bool>(14),
    };
    let is_lockable = matches!(kind, RelationKind::Table | RelationKind::PartitionedTable);
    let member_of: Option<String> = row.get(11);
    let schema: String = row.get(1);
    let is_configuration: bool = row.get(13);
    let disposition = match member_of {
        Some(extension) if !is_configuration => {
            Disposition::LeftOut { rule: format!("member of extension `{extension}`") }
        }
        _ if matches!(schema.as_str(), "pg_catalog" | "information_schema" | "pg_toast") => {
            Disposition::LeftOut { rule: format!("in schema `{schema}`, which `pg_dump` leaves out") }
        }
        _ if schema == MARKS_SCHEMA => {
            Disposition::LeftOut { rule: format!("in schema `{schema}`, which has the marks of an unfinished restore") }
        }
        _ => access.disposition(kind, row.get(6), user),
    };
    Ok(Relation {
        oid: row.get(0),
        name: RelationName::new(schema, row.get::<_, String>(2)),
        kind,
        relfilenode: row.get(4),
        pages: 0,
        columns: Vec::new(),
        columns_hash: String::new(),
        format: CopyFormat::Text,
        has_block_ranges: is_heap && !filter_given,
        extension_filter: extension_filter.filter(|_| filter_given),
        definition_is_unreadable: is_lockable
            && matches!(disposition, Disposition::Unreadable { .. })
            && !(access.usage && access.select),
        disposition,
    })
}

/// Relations without rows keep their disposition. One policy serves several databases, and a name can be a table in one and a
/// view in another.
async fn leave_out(session: &Session, relations: &mut [Relation], left_out: &[LeftOut]) -> Result<()> {
    let (schemas, names): (Vec<&str>, Vec<&str>) =
        left_out.iter().map(|one| (one.schema.as_str(), one.name.as_str())).unzip();
    let rows = session.rows(READING, NAMED, &[&schemas, &names]).await?;
    let named: HashMap<u32, usize> =
        rows.iter().map(|row| (row.get(0), row.get::<_, i64>(1).unsigned_abs() as usize - 1)).collect();
    for relation in relations.iter_mut() {
        let Some(LeftOut { reason, .. }) = named.get(&relation.oid).and_then(|number| left_out.get(*number)) else {
            continue;
        };
        let unreadable = match &relation.disposition {
            Disposition::Copy => None,
            Disposition::OnPrimaryOnly if relation.kind == RelationKind::Table => None,
            Disposition::Unreadable { reason } => Some(reason.clone()),
            _ => continue,
        };
        relation.disposition = Disposition::RowsLeftOut { reason: reason.clone(), unreadable };
    }
    let named: Vec<u32> = named.into_keys().collect();
    if let Some(row) = session.rows(READING, REFERRER, &[&named]).await?.first() {
        let [by, relation] = [0, 1].map(|column| name_of(relations, row.get(column)));
        return Err(PostgresError::LeftOutIsReferenced { relation, by });
    }
    leave_out_undescribed(session, relations).await
}

/// Sequences owned by a table without a readable definition are left out with it. No object that is kept may need either.
async fn leave_out_undescribed(session: &Session, relations: &mut [Relation]) -> Result<()> {
    let is_missing =
        |one: &&Relation| one.definition_is_unreadable && matches!(one.disposition, Disposition::RowsLeftOut { .. });
    let mut missing: Vec<u32> = relations.iter().filter(is_missing).map(|relation| relation.oid).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let owners: HashMap<u32, u32> =
        session.rows(READING, OWNED, &[&missing]).await?.iter().map(|row| (row.get(0), row.get(1))).collect();
    let fates: HashMap<u32, Disposition> =
        relations.iter().filter(is_missing).map(|relation| (relation.oid, relation.disposition.clone())).collect();
    for sequence in relations.iter_mut() {
        let Some(fate) = owners.get(&sequence.oid).and_then(|owner| fates.get(owner)) else { continue };
        (sequence.disposition, sequence.definition_is_unreadable) = (fate.clone(), true);
    }
    missing.extend(owners.keys());
    match session.rows(READING, NEEDS, &[&missing]).await?.first() {
        None => Ok(()),
        Some(row) => {
            let needed: u32 = row.get(0);
            let relation = name_of(relations, *owners.get(&needed).unwrap_or(&needed));
            Err(PostgresError::DefinitionIsNeeded { relation, by: row.get(1) })
        }
    }
}

fn name_of(relations: &[Relation], oid: u32) -> String {
    relations.iter().find(|relation| relation.oid == oid).map(|relation| relation.name.to_string()).unwrap_or_default()
}

/// The privileges of this role on a relation.
struct Access {
    usage: bool,
    select: bool,
    row_security: bool,
    unlogged_on_standby: bool,
}

impl Access {
    fn disposition(&self, kind: RelationKind, is_populated: bool, user: &str) -> Disposition {
        let unreadable = |reason: String| Disposition::Unreadable { reason };
        let needs_privilege =
            matches!(kind, RelationKind::Table | RelationKind::PartitionedTable | RelationKind::Sequence);
        match kind {
            _ if needs_privilege && !self.usage => unreadable(format!("role `{user}` has no USAGE on its schema")),
            _ if needs_privilege && !self.select => unreadable(format!("role `{user}` has no SELECT on it")),
            RelationKind::Table if self.row_security => {
                unreadable(format!("row level security applies to role `{user}`, which has no BYPASSRLS"))
            }
            RelationKind::Table | RelationKind::Sequence if self.unlogged_on_standby => Disposition::OnPrimaryOnly,
            RelationKind::Table => Disposition::Copy,
            RelationKind::MaterializedView if is_populated => Disposition::Rebuilt,
            RelationKind::Sequence => Disposition::Carried,
            RelationKind::PartitionedTable
            | RelationKind::View
            | RelationKind::MaterializedView
            | RelationKind::ForeignTable => Disposition::Definition,
        }
    }
}

#[derive(Default)]
struct TableColumns {
    names: Vec<String>,
    described: String,
    text_only: bool,
}

struct Columns(HashMap<u32, TableColumns>);

impl Columns {
    async fn read(session: &Session, tables: &[u32], types: &TypeCatalog) -> Result<Self> {
        use std::fmt::Write;
        let mut columns: HashMap<u32, TableColumns> = HashMap::new();
        for row in session.rows(READING, COLUMNS, &[&tables]).await? {
            let table = columns.entry(row.get(0)).or_default();
            let (number, name, type_oid, modifier): (i16, String, u32, i32) =
                (row.get(1), row.get(2), row.get(3), row.get(4));
            let is_generated: bool = row.get(5);
            let _ = write!(table.described, "{number}\0{name}\0{modifier}\0{is_generated}\0");
            types.describe(type_oid, &mut table.described);
            table.described.push('\n');
            if !is_generated {
                table.text_only |= !types.is_binary_safe(type_oid);
                table.names.push(name);
            }
        }
        Ok(Self(columns))
    }
}

/// The blocks of the main fork of each table that is copied. The tables must be locked, because this waits for sessions that rewrite one.
pub(crate) async fn measure(session: &Session, relations: &mut [Relation]) -> Result<()> {
    const SQL: &str = "
        SELECT oid, pg_catalog.pg_relation_size(oid) / pg_catalog.current_setting('block_size')::int8
        FROM pg_catalog.unnest($1::oid[]) AS tables (oid)";
    let copied: Vec<u32> = relations.iter().filter(|r| r.is_copied()).map(|relation| relation.oid).collect();
    let rows = session.rows(READING, SQL, &[&copied]).await?;
    let pages: HashMap<u32, i64> =
        rows.iter().map(|row| (row.get(0), row.get::<_, Option<i64>>(1).unwrap_or(0))).collect();
    for relation in relations.iter_mut() {
        relation.pages = pages.get(&relation.oid).and_then(|pages| u32::try_from(*pages).ok()).unwrap_or(0);
    }
    Ok(())
}

/// The first locked table that differs from the snapshot: it was rewritten, truncated, renamed or dropped since.
pub(crate) async fn find_rewritten(session: &Session, locked: &[&Relation]) -> Result<Option<RelationName>> {
    // These functions read the current catalog, not the snapshot.
    const SQL: &str = "
        SELECT oid FROM ROWS FROM (pg_catalog.unnest($1::oid[]), pg_catalog.unnest($2::oid[]), pg_catalog.unnest($3::text[])) AS seen (oid, node, name)
        WHERE COALESCE(pg_catalog.pg_relation_filenode(oid), 0) <> node OR pg_catalog.to_regclass(name) IS DISTINCT FROM oid
        LIMIT 1";
    let oids: Vec<u32> = locked.iter().map(|relation| relation.oid).collect();
    // Tables whose rows are not copied may be rewritten.
    let nodes: Vec<Option<u32>> =
        locked.iter().map(|relation| relation.is_copied().then_some(relation.relfilenode)).collect();
    let names: Vec<String> = locked.iter().map(|relation| relation.name.sql()).collect();
    let rows = session.rows("comparing tables with the snapshot", SQL, &[&oids, &nodes, &names]).await?;
    let changed: HashSet<u32> = rows.iter().map(|row| row.get(0)).collect();
    Ok(locked.iter().find(|relation| changed.contains(&relation.oid)).map(|relation| relation.name.clone()))
}

/// The first table whose columns are not those that the snapshot shows. `now` sees the catalog as it is, and the tables must be locked.
///
/// A column that is dropped and added again, renamed or retyped without a rewrite leaves the table's file as it is. COPY finds columns by
/// their names of now, and an older row has nothing in a newer column.
pub(crate) async fn find_redefined(
    snapshot: &Session,
    now: &Session,
    locked: &[&Relation],
) -> Result<Option<RelationName>> {
    let oids: Vec<u32> = locked.iter().map(|relation| relation.oid).collect();
    let (then, now) = tokio::try_join!(definitions(snapshot, &oids), definitions(now, &oids))?;
    let differs = |relation: &&&Relation| then.get(&relation.oid) != now.get(&relation.oid);
    Ok(locked.iter().find(differs).map(|relation| relation.name.clone()))
}

/// The columns of each table: number, name, type, modifier, and whether it is generated.
async fn definitions(session: &Session, tables: &[u32]) -> Result<HashMap<u32, Vec<Column>>> {
    let mut columns: HashMap<u32, Vec<Column>> = HashMap::new();
    for row in session.rows("comparing columns with the snapshot", COLUMNS, &[&tables]).await? {
        let column = (row.get(1), row.get(2), row.get(3), row.get(4), row.get(5));
        columns.entry(row.get(0)).or_default().push(column);
    }
    Ok(columns)
}

type Column = (i16, String, u32, i32, bool);
