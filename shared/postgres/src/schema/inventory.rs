//! The inventory of a schema: the definition of every object as the server prints it. It has no OIDs, so that a restored
//! database compares equal. It leaves out members of extensions, which come with their extension.

use lifeboat_model::{Inventory, InventoryObject, ObjectKind};

use crate::error::PostgresResult as Result;
use crate::session::Session;
use crate::session::server_text::ServerText;

/// `name(class, oid)` must not be a member of an extension.
macro_rules! no_member {
    ($class:literal, $oid:literal) => {
        concat!(
            "NOT EXISTS (SELECT FROM pg_catalog.pg_depend x WHERE x.classid = 'pg_catalog.",
            $class,
            "'::pg_catalog.regclass AND x.objid = ",
            $oid,
            " AND x.deptype = 'e')"
        )
    };
}

/// The schema `n` is neither PostgreSQL's nor temporary, nor that of an unfinished restore's marks.
macro_rules! user_schema {
    () => {
        "n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', 'lifeboat_restore') AND n.nspname !~ '^pg_(toast_)?temp_'"
    };
}

/// Grants to roles other than the owner. An absent ACL is the default one. The grantor is not compared, because a restore may change it.
/// MAINTAIN is not compared either, because older servers lack it.
macro_rules! grants {
    ($acl:literal, $default:literal, $owner:literal) => {
        concat!(
            "COALESCE((SELECT pg_catalog.string_agg(CASE WHEN g.grantee = 0 THEN 'PUBLIC' ELSE pg_catalog.pg_get_userbyid(g.grantee) END
                 || ' ' || g.privilege_type || CASE WHEN g.is_grantable THEN ' grantable' ELSE '' END, ', '
                 ORDER BY CASE WHEN g.grantee = 0 THEN '' ELSE pg_catalog.pg_get_userbyid(g.grantee) END, g.privilege_type COLLATE \"C\")
               FROM pg_catalog.aclexplode(COALESCE(", $acl, ", pg_catalog.acldefault('", $default, "', ", $owner, "))) g
               WHERE g.grantee <> ", $owner, " AND g.privilege_type <> 'MAINTAIN'), '')"
        )
    };
}

/// Options sorted by name, because a restore adds them in another order.
macro_rules! options {
    ($array:literal) => {
        concat!(
            "(SELECT pg_catalog.string_agg(o, ', ' ORDER BY o COLLATE \"C\") FROM pg_catalog.unnest(",
            $array,
            ") o WHERE o !~ '^pg_')"
        )
    };
}

mod rare;
mod surroundings;

/// Operands of `||` are text or cast to it: a database can have implicit casts of numbers to text, with which others are ambiguous.
///
/// One query per kind, which gives identity and definition. `$1` lists relations to skip.
const QUERIES: [(ObjectKind, &str); 11] = [
    (
        ObjectKind::Extension,
        "SELECT e.extname::text, 'schema ' || n.nspname FROM pg_catalog.pg_extension e
         JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace WHERE $1::oid[] IS NOT NULL",
    ),
    (
        // The schema public comes with the database. Its owner and grants differ between versions: see `surroundings`.
        ObjectKind::Schema,
        concat!(
            "SELECT n.nspname::text, CASE WHEN n.nspname = 'public' THEN '' ELSE
                    'owner ' || pg_catalog.pg_get_userbyid(n.nspowner) || '; grants ' || ",
            grants!("n.nspacl", "n", "n.nspowner"),
            " END FROM pg_catalog.pg_namespace n WHERE $1::oid[] IS NOT NULL AND ",
            user_schema!(),
            " AND ",
            no_member!("pg_namespace", "n.oid")
        ),
    ),
    (
        ObjectKind::Type,
        concat!(
            "SELECT pg_catalog.format('%I.%I', n.nspname, t.typname), CASE t.typtype
               WHEN 'e' THEN 'enum ' || COALESCE((SELECT pg_catalog.string_agg(pg_catalog.quote_literal(l.enumlabel), ', ' ORDER BY l.enumsortorder)
                    FROM pg_catalog.pg_enum l WHERE l.enumtypid = t.oid), '')
               WHEN 'd' THEN 'domain ' || pg_catalog.format_type(t.typbasetype, t.typtypmod)
                    || CASE WHEN t.typnotnull THEN ' not null' ELSE '' END || COALESCE(' default ' || t.typdefault, '')
               WHEN 'r' THEN 'range ' || (SELECT pg_catalog.format_type(r.rngsubtype, NULL) FROM pg_catalog.pg_range r WHERE r.rngtypid = t.oid)
               WHEN 'c' THEN 'composite ' || COALESCE((SELECT pg_catalog.string_agg(pg_catalog.quote_ident(a.attname) || ' '
                    || pg_catalog.format_type(a.atttypid, a.atttypmod), ', ' ORDER BY a.attnum)
                    FROM pg_catalog.pg_attribute a WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped), '')
               ELSE 'base' END || '; owner ' || pg_catalog.pg_get_userbyid(t.typowner) || '; grants ' || ",
            grants!("t.typacl", "T", "t.typowner"),
            "
             FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
             LEFT JOIN pg_catalog.pg_class c ON c.oid = t.typrelid
             WHERE $1::oid[] IS NOT NULL AND t.typtype IN ('b', 'c', 'd', 'e', 'r') AND (t.typrelid = 0 OR c.relkind = 'c')
               AND NOT EXISTS (SELECT FROM pg_catalog.pg_type item WHERE item.typarray = t.oid) AND ",
            user_schema!(),
            " AND ",
            no_member!("pg_type", "t.oid")
        ),
    ),
    (
        // Column options named `pg_…` are internal (`pg_attver`, since minor versions of 2026), and pg_dump leaves them out.
        // A restored inheritance child may have its parent's columns first. Partitions keep their order.
        ObjectKind::Relation,
        concat!(
            "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname),
               pg_catalog.concat_ws('; ',
                 'kind ' || c.relkind::text || ' ' || c.relpersistence::text,
                 'owner ' || pg_catalog.pg_get_userbyid(c.relowner),
                 'grants ' || ", grants!("c.relacl", "r", "c.relowner"), ",
                 'of type ' || NULLIF(c.reloftype, 0)::pg_catalog.regtype::text,
                 (SELECT pg_catalog.concat_ws(' ', 'on server', s.srvname, ", options!("f.ftoptions"), ")
                  FROM pg_catalog.pg_foreign_table f JOIN pg_catalog.pg_foreign_server s ON s.oid = f.ftserver WHERE f.ftrelid = c.oid),
                 CASE WHEN c.relrowsecurity THEN 'row security enabled' END,
                 CASE WHEN c.relforcerowsecurity THEN 'row security forced' END,
                 'partition key ' || CASE WHEN c.relkind = 'p' THEN pg_catalog.pg_get_partkeydef(c.oid) END,
                 'bound ' || CASE WHEN c.relispartition THEN pg_catalog.pg_get_expr(c.relpartbound, c.oid) END,
                 'parents ' || (SELECT pg_catalog.string_agg(i.inhparent::pg_catalog.regclass::text, ', ' ORDER BY i.inhseqno)
                    FROM pg_catalog.pg_inherits i WHERE i.inhrelid = c.oid),
                 'options ' || ", options!("c.reloptions"), ",
                 CASE WHEN c.relkind = 'm' AND NOT c.relispopulated THEN 'not populated' END,
                 CASE WHEN c.relreplident <> 'n' THEN 'replica identity ' || c.relreplident::text END,
                 'columns ' || (SELECT pg_catalog.string_agg(pg_catalog.concat_ws(' ', pg_catalog.quote_ident(a.attname),
                      pg_catalog.format_type(a.atttypid, a.atttypmod),
                      CASE WHEN a.attnotnull THEN 'not null' END,
                      CASE WHEN a.attcollation <> ty.typcollation THEN 'collate ' || a.attcollation::pg_catalog.regcollation::text END,
                      CASE a.attgenerated WHEN '' THEN 'default ' ELSE 'generated ' || a.attgenerated::text || ' ' END
                        || pg_catalog.pg_get_expr(ad.adbin, ad.adrelid),
                      CASE WHEN a.attidentity <> '' THEN 'identity ' || a.attidentity::text END,
                      CASE WHEN a.attstorage <> ty.typstorage THEN 'storage ' || a.attstorage::text END,
                      CASE WHEN a.attcompression <> '' THEN 'compression ' || a.attcompression::text END,
                      'statistics ' || NULLIF(a.attstattarget, -1)::text, ", options!("a.attoptions"), ",
                      ", options!("a.attfdwoptions"), ",
                      'grants ' || (SELECT pg_catalog.string_agg(CASE WHEN g.grantee = 0 THEN 'PUBLIC' ELSE pg_catalog.pg_get_userbyid(g.grantee) END
                        || ' ' || g.privilege_type, ' ' ORDER BY CASE WHEN g.grantee = 0 THEN '' ELSE pg_catalog.pg_get_userbyid(g.grantee) END, g.privilege_type COLLATE \"C\")
                        FROM pg_catalog.aclexplode(a.attacl) g WHERE g.grantee <> c.relowner)),
                    ', ' ORDER BY CASE WHEN c.relispartition OR NOT EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE i.inhrelid = c.oid)
                                       THEN a.attnum ELSE 0 END, a.attname)
                    FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type ty ON ty.oid = a.atttypid
                    LEFT JOIN pg_catalog.pg_attrdef ad ON ad.adrelid = a.attrelid AND ad.adnum = a.attnum
                    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped))
             FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
             WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.oid <> ALL ($1::oid[]) AND ",
            user_schema!(),
            " AND ",
            no_member!("pg_class", "c.oid")
        ),
    ),
    (
        // NOT NULL constraints (from version 18 on) are not compared, because the column states them. The copies of a foreign key
        // for partitions are not compared either, because PostgreSQL generates their names. The archive leaves out the constraints of invalid
        // indexes, and whether a check that is only inherited is valid: that follows from the parent's.
        ObjectKind::Constraint,
        concat!(
            "SELECT pg_catalog.format('%I on %s', k.conname, CASE WHEN k.conrelid <> 0
                      THEN pg_catalog.format('%I.%I', n.nspname, c.relname) ELSE 'domain ' || k.contypid::pg_catalog.regtype::text END),
                    CASE WHEN k.contype = 'c' AND NOT k.conislocal
                         THEN pg_catalog.regexp_replace(pg_catalog.pg_get_constraintdef(k.oid), ' NOT VALID$', '')
                         ELSE pg_catalog.pg_get_constraintdef(k.oid) END
             FROM pg_catalog.pg_constraint k
             LEFT JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
             LEFT JOIN pg_catalog.pg_type t ON t.oid = k.contypid
             JOIN pg_catalog.pg_namespace n ON n.oid = COALESCE(c.relnamespace, t.typnamespace)
             WHERE k.contype NOT IN ('n', 't') AND (k.contype <> 'f' OR k.conparentid = 0) AND k.conrelid <> ALL ($1::oid[])
               AND NOT EXISTS (SELECT FROM pg_catalog.pg_index x JOIN pg_catalog.pg_class xc ON xc.oid = x.indexrelid
                               WHERE x.indexrelid = k.conindid AND k.contype IN ('p', 'u', 'x') AND NOT x.indisvalid AND xc.relkind = 'i') AND ",
            user_schema!(),
            " AND ",
            no_member!("pg_class", "k.conrelid"),
            " AND ",
            no_member!("pg_type", "k.contypid")
        ),
    ),
    (
        // The archive leaves out invalid indexes of a failed CREATE INDEX CONCURRENTLY too.
        ObjectKind::Index,
        concat!(
            "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname), pg_catalog.concat_ws('; ', pg_catalog.pg_get_indexdef(c.oid),
                    CASE WHEN i.indisreplident THEN 'replica identity' END, CASE WHEN i.indisclustered THEN 'clustered' END)
             FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
             WHERE (i.indisvalid OR c.relkind = 'I') AND i.indrelid <> ALL ($1::oid[]) AND ",
            user_schema!(),
            " AND ",
            no_member!("pg_class", "i.indrelid"),
            " AND ",
            no_member!("pg_class", "c.oid")
        ),
    ),
    (
        ObjectKind::Policy,
        concat!(
            "SELECT pg_catalog.format('%I on %I.%I', p.polname, n.nspname, c.relname), pg_catalog.concat_ws(' ',
                    CASE WHEN p.polpermissive THEN 'permissive' ELSE 'restrictive' END, 'for ' || p.polcmd::text,
                    'to ' || (SELECT pg_catalog.string_agg(CASE WHEN r = 0 THEN 'PUBLIC' ELSE pg_catalog.pg_get_userbyid(r) END, ', '
                       ORDER BY CASE WHEN r = 0 THEN '' ELSE pg_catalog.pg_get_userbyid(r) END) FROM pg_catalog.unnest(p.polroles) r),
                    'using ' || pg_catalog.pg_get_expr(p.polqual, p.polrelid),
                    'with check ' || pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid))
             FROM pg_catalog.pg_policy p JOIN pg_catalog.pg_class c ON c.oid = p.polrelid
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
             WHERE p.polrelid <> ALL ($1::oid[]) AND ",
            user_schema!(),
            " AND ",
            no_member!("pg_class", "c.oid")
        ),
    ),
    (
        ObjectKind::Trigger,
        concat!(
            "SELECT pg_catalog.format('%I on %I.%I', g.tgname, n.nspname, c.relname),
                    pg_catalog.pg_get_triggerdef(g.oid) || '; enabled ' || g.tgenabled::text
             FROM pg_catalog.pg_trigger g JOIN pg_catalog.pg_class c ON c.oid = g.tgrelid
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
             WHERE NOT g.tgisinternal AND g.tgrelid <> ALL ($1::oid[]) AND ",
            user_schema!(),
            " AND ",
            no_member!("pg_class", "c.oid"),
            " AND ",
            no_member!("pg_trigger", "g.oid")
        ),
    ),
    (
        ObjectKind::Routine,
        concat!(
            "SELECT pg_catalog.format('%I.%I(%s)', n.nspname, p.proname, pg_catalog.pg_get_function_identity_arguments(p.oid)),
                    pg_catalog.concat_ws('; ', CASE WHEN p.prokind = 'a' THEN (
                      SELECT 'aggregate ' || pg_catalog.concat_ws(' ', g.aggtransfn, pg_catalog.format_type(g.aggtranstype, NULL),
                             g.aggfinalfn, g.agginitval, pg_catalog.pg_get_function_result(p.oid))
                      FROM pg_catalog.pg_aggregate g WHERE g.aggfnoid = p.oid)
                    ELSE pg_catalog.pg_get_functiondef(p.oid) END,
                    'owner ' || pg_catalog.pg_get_userbyid(p.proowner), 'grants ' || ",
            grants!("p.proacl", "f", "p.proowner"),
            ") FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
             WHERE $1::oid[] IS NOT NULL AND ",
            user_schema!(),
            " AND ",
            no_member!("pg_proc", "p.oid")
        ),
    ),
    (
        ObjectKind::View,
        concat!(
            "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname), pg_catalog.pg_get_viewdef(c.oid)
             FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
             WHERE c.relkind IN ('v', 'm') AND c.oid <> ALL ($1::oid[]) AND ",
            user_schema!(),
            " AND ",
            no_member!("pg_class", "c.oid")
        ),
    ),
    (
        ObjectKind::Sequence,
        concat!(
            "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname), pg_catalog.concat_ws(' ',
                    pg_catalog.format_type(s.seqtypid, NULL), 'start', s.seqstart, 'increment', s.seqincrement, 'min', s.seqmin,
                    'max', s.seqmax, 'cache', s.seqcache, CASE WHEN s.seqcycle THEN 'cycle' END,
                    'owner ' || pg_catalog.pg_get_userbyid(c.relowner), 'grants ' || ",
            grants!("c.relacl", "s", "c.relowner"),
            ", (SELECT 'owned by ' || d.refobjid::pg_catalog.regclass::text || '.' || pg_catalog.quote_ident(a.attname)
                FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
                WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype IN ('a', 'i')
                  AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjsubid > 0 LIMIT 1))
             FROM pg_catalog.pg_sequence s JOIN pg_catalog.pg_class c ON c.oid = s.seqrelid
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
             WHERE c.oid <> ALL ($1::oid[]) AND ",
            user_schema!(),
            " AND ",
            no_member!("pg_class", "c.oid")
        ),
    ),
];

const STEP: &str = "reading the inventory";

/// Reads the schemas alone.
pub(crate) async fn read_schemas(session: &Session) -> Result<Vec<InventoryObject>> {
    let mut schemas = Vec::new();
    for (kind, sql) in QUERIES.into_iter().filter(|(kind, _)| *kind == ObjectKind::Schema) {
        schemas.extend(read_kind(session, kind, sql, &[]).await?);
    }
    Ok(schemas)
}

async fn read_kind(
    session: &Session,
    kind: ObjectKind,
    sql: &str,
    passed_over: &[u32],
) -> Result<Vec<InventoryObject>> {
    let rows = session.rows(STEP, sql, &[&passed_over]).await?;
    let object = |row: &tokio_postgres::Row| InventoryObject {
        kind,
        identity: row.get::<_, ServerText>(0).0,
        definition: row.get::<_, Option<ServerText>>(1).map(|ServerText(text)| text).unwrap_or_default(),
    };
    Ok(rows.iter().map(object).collect())
}

/// Reads the inventory in the session's snapshot. The session's empty `search_path` makes the server qualify every name.
pub(crate) async fn read(session: &Session, passed_over: &[u32]) -> Result<Inventory> {
    const MAJOR: &str = "SELECT pg_catalog.current_setting('server_version_num')::int4 / 10000";
    session.expect_bytes_as_stored().await?;
    let major: i32 = session.row(STEP, MAJOR, &[]).await?.get(0);
    let mut inventory = Inventory::default();
    let everywhere = QUERIES.into_iter().map(|(kind, sql)| (kind, 0, sql));
    for (kind, since, sql) in everywhere.chain(rare::QUERIES) {
        if major.unsigned_abs() < since {
            continue;
        }
        inventory.objects.extend(read_kind(session, kind, sql, passed_over).await?);
    }
    inventory.surroundings = Some(surroundings::read(session, passed_over).await?);
    session.expect_utf8().await?;
    inventory.objects.sort();
    Ok(inventory)
}
