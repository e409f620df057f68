//! The choice between COPY's binary and text form for a table, made type by type.
//!
//! Binary is faster both ways, but some binary forms carry OIDs of the server they came from, and some types have none.

use std::collections::HashMap;

use crate::error::PostgresResult as Result;
use crate::session::Session;

/// OIDs below this are assigned by PostgreSQL itself and are the same everywhere (`FirstNormalObjectId`).
const FIRST_NORMAL_OID: u32 = 16384;

/// Levels of domains over domains over arrays. Real schemas nest less, and cycles are impossible.
const MAX_NESTING: u32 = 16;

/// Built-in types whose binary form is not used: those that name an object by its OID, `xml` (its binary form carries an
/// encoding declaration), and those that cannot be read back at all.
const NOT_IN_BINARY: [&str; 17] = [
    "regclass",
    "regcollation",
    "regconfig",
    "regdictionary",
    "regnamespace",
    "regoper",
    "regoperator",
    "regproc",
    "regprocedure",
    "regrole",
    "regtype",
    "xml",
    "pg_node_tree",
    "pg_ndistinct",
    "pg_dependencies",
    "pg_mcv_list",
    "aclitem",
];

/// Extension types with a binary form that is plain data, by (extension, type).
const KNOWN_EXTENSION_TYPES: [(&str, &str); 3] = [("citext", "citext"), ("hstore", "hstore"), ("ltree", "ltree")];

/// One type of the catalog.
#[derive(Debug, Clone, Default)]
struct TypeFacts {
    name: String,
    kind: TypeKind,
    has_binary_form: bool,
    extension: Option<String>,
    /// Labels of an enum in order, in hex because a SQL_ASCII database's need not be UTF-8: renaming one changes what COPY writes without touching a row.
    labels: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum TypeKind {
    #[default]
    Scalar,
    Array(u32),
    Domain(u32),
    Enum,
    Range(u32),
}

/// All types a column can have, except row types.
pub(crate) struct TypeCatalog(HashMap<u32, TypeFacts>);

impl TypeCatalog {
    /// Reads the types in the session's snapshot.
    pub(crate) async fn read(session: &Session) -> Result<Self> {
        // Row types and arrays of them are left out, one pair per table: what is not found is carried as text.
        const SQL: &str = "
            SELECT t.oid, t.typname::text, t.typtype::text, t.typelem, t.typbasetype, COALESCE(r.rngsubtype, 0),
                   t.typsend <> 0 AND t.typreceive <> 0,
                   t.typsubscript = 'pg_catalog.array_subscript_handler'::pg_catalog.regproc AND t.typlen = -1,
                   e.extname::text,
                   (SELECT pg_catalog.encode(pg_catalog.convert_to(
                        pg_catalog.string_agg(pg_catalog.quote_literal(l.enumlabel), ',' ORDER BY l.enumsortorder),
                        pg_catalog.getdatabaseencoding()), 'hex')
                      FROM pg_catalog.pg_enum l WHERE l.enumtypid = t.oid)
            FROM pg_catalog.pg_type t
            LEFT JOIN pg_catalog.pg_type item ON item.oid = t.typelem
            LEFT JOIN pg_catalog.pg_range r ON t.oid IN (r.rngtypid, r.rngmultitypid)
            LEFT JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass AND d.objid = t.oid
                  AND d.deptype = 'e' AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass
            LEFT JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
            WHERE t.typtype IN ('b', 'd', 'e', 'r', 'm') AND item.typtype IS DISTINCT FROM 'c'";
        let mut types = HashMap::new();
        for row in session.rows("reading the types", SQL, &[]).await? {
            let is_array: bool = row.get(7);
            let typtype: String = row.get(2);
            let kind = match typtype.as_str() {
                "b" if is_array => TypeKind::Array(row.get(3)),
                "d" => TypeKind::Domain(row.get(4)),
                "e" => TypeKind::Enum,
                "r" | "m" => TypeKind::Range(row.get(5)),
                _ => TypeKind::Scalar,
            };
            let facts = TypeFacts {
                name: row.get(1),
                kind,
                has_binary_form: row.get(6),
                extension: row.get(8),
                labels: row.get(9),
            };
            types.insert(row.get::<_, u32>(0), facts);
        }
        Ok(Self(types))
    }

    /// Whether values of this type read back the same from their binary form on another server.
    pub(crate) fn is_binary_safe(&self, oid: u32) -> bool {
        self.is_safe(oid, MAX_NESTING)
    }

    fn is_safe(&self, oid: u32, depth: u32) -> bool {
        let Some(depth) = depth.checked_sub(1) else { return false };
        let Some(facts) = self.0.get(&oid).filter(|facts| facts.has_binary_form) else { return false };
        match facts.kind {
            TypeKind::Scalar if oid < FIRST_NORMAL_OID => !NOT_IN_BINARY.contains(&facts.name.as_str()),
            TypeKind::Scalar => facts
                .extension
                .as_deref()
                .is_some_and(|extension| KNOWN_EXTENSION_TYPES.contains(&(extension, facts.name.as_str()))),
            // An array's binary form names its element type by OID.
            TypeKind::Array(item) => item < FIRST_NORMAL_OID && self.is_safe(item, depth),
            TypeKind::Domain(base) | TypeKind::Range(base) => self.is_safe(base, depth),
            TypeKind::Enum => true,
        }
    }

    /// Appends a description to `into` that changes when values of this type are written differently.
    pub(crate) fn describe(&self, oid: u32, into: &mut String) {
        self.describe_nested(oid, into, MAX_NESTING);
    }

    fn describe_nested(&self, oid: u32, into: &mut String, depth: u32) {
        use std::fmt::Write;
        let _ = write!(into, "{oid}");
        let (Some(depth), Some(facts)) = (depth.checked_sub(1), self.0.get(&oid)) else { return };
        if let Some(labels) = &facts.labels {
            into.push_str(labels);
        }
        if let TypeKind::Array(inner) | TypeKind::Domain(inner) | TypeKind::Range(inner) = facts.kind {
            into.push('/');
            self.describe_nested(inner, into, depth);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: u32 = FIRST_NORMAL_OID;

    fn catalog(types: &[(u32, &str, TypeKind)]) -> TypeCatalog {
        let facts = |(oid, name, kind): &(u32, &str, TypeKind)| {
            (*oid, TypeFacts { name: (*name).to_owned(), kind: *kind, has_binary_form: true, ..TypeFacts::default() })
        };
        TypeCatalog(types.iter().map(facts).collect())
    }

    #[test]
    fn what_names_objects_by_oid_is_never_carried_in_binary() {
        let types = catalog(&[
            (23, "int4", TypeKind::Scalar),
            (1007, "_int4", TypeKind::Array(23)),
            (2205, "regclass", TypeKind::Scalar),
            (2210, "_regclass", TypeKind::Array(2205)),
            (USER, "mood", TypeKind::Enum),
            (USER + 1, "_mood", TypeKind::Array(USER)),
            (USER + 2, "age", TypeKind::Domain(23)),
            (USER + 3, "ages", TypeKind::Domain(1007)),
            (USER + 4, "_age", TypeKind::Array(USER + 2)),
            (USER + 5, "mood_range", TypeKind::Range(USER)),
            (USER + 6, "shape", TypeKind::Scalar),
        ]);
        for safe in [23, 1007, USER, USER + 2, USER + 3, USER + 5] {
            assert!(types.is_binary_safe(safe), "{safe}");
        }
        for unsafe_type in [2205, 2210, USER + 1, USER + 4, USER + 6, 99999] {
            assert!(!types.is_binary_safe(unsafe_type), "{unsafe_type}");
        }
    }

    #[test]
    fn a_renamed_enum_label_changes_the_description_of_every_type_over_it() {
        let mut types = catalog(&[(USER, "mood", TypeKind::Enum), (USER + 1, "_mood", TypeKind::Array(USER))]);
        let described = |types: &TypeCatalog| {
            let mut text = String::new();
            types.describe(USER + 1, &mut text);
            text
        };
        let before = described(&types);
        types.0.get_mut(&USER).unwrap().labels = Some("'glad'".to_owned());
        assert_ne!(described(&types), before);
    }
}
