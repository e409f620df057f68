//! The entries of a schema archive, as `pg_restore` writes them into a script.

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;

use crate::error::{PostgresError, PostgresResult as Result};
use crate::restore::script::{Piece, pieces};
use crate::schema::tools::ClientTools;
use crate::session::settings::ConnectionSettings;

/// The two halves of a schema archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// Before the rows: schemas, types, functions, bare tables.
    PreData,
    /// After the rows, which prove it: indexes, constraints, triggers, policies.
    PostData,
}

impl Section {
    fn as_str(self) -> &'static str {
        match self {
            Self::PreData => "pre-data",
            Self::PostData => "post-data",
        }
    }
}

/// Entries that come last, by their kind.
///
/// An event trigger fires for every later definition and for REFRESH MATERIALIZED VIEW. Event triggers, publications for all
/// tables and subscriptions need a superuser, and a security label needs its provider. A managed server may have neither.
const LAST: [&str; 4] = ["EVENT TRIGGER", "PUBLICATION", "SECURITY LABEL", SUBSCRIPTION];
const SUBSCRIPTION: &str = "SUBSCRIPTION";

/// Kinds whose definitions can hold a password.
const WITH_PASSWORDS: [&str; 3] = [SUBSCRIPTION, "USER MAPPING", "SERVER"];

/// One entry of an archive with its statements.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// The number by which `pg_restore --use-list` knows it.
    pub(super) id: u32,
    /// Its line in a list of contents.
    pub(super) key: String,
    /// `TABLE`, `INDEX`, `ACL`, ….
    pub(super) kind: String,
    /// Empty for what is in no schema.
    pub(super) schema: String,
    /// The tag: for a constraint, trigger or policy the table's name, a space, and its own.
    pub(super) name: String,
    /// The numbers of the entries that it needs.
    pub(super) dependencies: Vec<u32>,
    /// The settings that the script has made before it.
    pub(super) settings: Arc<str>,
    /// Its statements in order. `None` when they are not UTF-8, which only an archive of an SQL_ASCII database can be.
    pub(super) statements: Option<Vec<String>>,
}

impl Entry {
    /// Whether it has to be restored after everything else.
    pub(super) fn is_last(&self) -> bool {
        LAST.iter().any(|kind| self.is_of(kind))
    }

    /// Whether it is a subscription, or about one.
    pub(super) fn is_about_a_subscription(&self) -> bool {
        self.is_of(SUBSCRIPTION)
    }

    /// Whether the server evaluates expressions on rows when it runs this statement of the entry, so that its messages can quote a value. A table
    /// is created without rows, and altered when it may have some.
    pub(super) fn reads_rows(&self, statement: &str) -> bool {
        const READING: [&str; 5] = ["INDEX", "CONSTRAINT", "FK CONSTRAINT", "CHECK CONSTRAINT", "TABLE ATTACH"];
        READING.contains(&self.kind.as_str()) || self.kind == "TABLE" && !statement.starts_with("CREATE ")
    }

    /// Whether it is about grants. Natively they come after the data and the indexes: an index is built although its owner may not execute the
    /// function that it calls. Those on schemas come early: without superuser, an object can be given only to a role that may create it there.
    pub(super) fn is_grant(&self) -> bool {
        matches!(self.kind.as_str(), "ACL" | "DEFAULT ACL") && !self.name.starts_with("SCHEMA ")
    }

    /// Whether its statements may be shown.
    pub(super) fn may_be_shown(&self) -> bool {
        !WITH_PASSWORDS.contains(&self.kind.as_str())
    }

    fn is_of(&self, kind: &str) -> bool {
        self.kind.starts_with(kind) || self.kind == "COMMENT" && self.name.starts_with(kind)
    }

    /// The table's name and that of its constraint, trigger, policy or rule, which a space separates. Either may have spaces: the statement has
    /// the second one in quotes.
    fn table_and_own(&self) -> Option<(&str, &str)> {
        const BEFORE: [&str; 4] = ["ADD CONSTRAINT \"", "TRIGGER \"", "CREATE POLICY \"", "CREATE RULE \""];
        let statement = self.statements.as_ref().and_then(|statements| statements.first()).map_or("", String::as_str);
        let after = BEFORE.iter().find_map(|before| statement.split_once(before)).map(|(_, after)| after);
        let own = after.map(|after| {
            let end = after.replace("\"\"", "  ").find('"').unwrap_or(after.len());
            after.get(..end).unwrap_or_default().replace("\"\"", "\"")
        });
        let table = own.and_then(|own| self.name.strip_suffix(own.as_str())?.strip_suffix(' '));
        match table {
            Some(table) => Some((table, self.name.get(table.len() + 1..)?)),
            None => self.name.split_once(' '),
        }
    }

    /// The object's name as an inventory has it. Names with spaces may come out differently, and the object is then reported twice.
    pub(super) fn object(&self) -> String {
        let unquoted = self.name.replace('"', "");
        let in_schema = |name: &str| match self.schema.as_str() {
            "" => name.to_owned(),
            schema => format!("{schema}.{name}"),
        };
        match self.kind.as_str() {
            "CONSTRAINT" | "FK CONSTRAINT" | "CHECK CONSTRAINT" | "TRIGGER" | "POLICY" | "RULE" => {
                match self.table_and_own() {
                    Some((table, own)) => format!("{own} on {}", in_schema(table)),
                    None => in_schema(&unquoted),
                }
            }
            "DEFAULT" => in_schema(unquoted.split_once(' ').map_or(&unquoted, |(table, _)| table)),
            "ACL" => match unquoted.split_once(' ') {
                Some(("SCHEMA", schema)) => schema.to_owned(),
                Some(("COLUMN", column)) => in_schema(column.rsplit_once('.').map_or(column, |(table, _)| table)),
                // The server prints `server far`.
                Some(("FOREIGN", rest)) => rest.replace("SERVER", "server").replace("DATA WRAPPER", "wrapper"),
                Some((_, on)) => in_schema(on),
                None => in_schema(&unquoted),
            },
            "DEFAULT ACL" | "COMMENT" => unquoted,
            _ => in_schema(&unquoted),
        }
    }
}

/// The entries of one section, and the settings that every session needs for them.
pub(super) struct Listing {
    pub(super) preamble: Vec<String>,
    pub(super) entries: Vec<Arc<Entry>>,
}

/// An archive, and the program that reads it.
#[derive(Debug, Clone)]
pub(super) struct ArchiveFile<'a> {
    pub(super) tools: &'a ClientTools,
    pub(super) settings: &'a ConnectionSettings,
    pub(super) path: &'a Path,
    /// Whether tables and indexes come into the tablespaces that the archive names, or into the database's own.
    pub(super) tablespaces: bool,
}

impl ArchiveFile<'_> {
    /// Reads the entries of one section in the order in which `pg_restore` would restore them.
    pub(super) async fn entries(&self, section: Section) -> Result<Listing> {
        let (script, contents) = (self.beside("section.sql"), self.beside("section.list"));
        self.run(section, vec!["--verbose".into(), "--file".into(), (&script).into()]).await?;
        self.run(section, vec!["--list".into(), "--file".into(), (&contents).into()]).await?;
        let listing = read_script(&read(&script).await?);
        let contents = read(&contents).await?;
        let listed: HashSet<String> = String::from_utf8_lossy(&contents).lines().filter_map(key_of_line).collect();
        let read: HashSet<String> = listing.entries.iter().map(|entry| entry.key.clone()).collect();
        if listed != read || read.len() != listing.entries.len() {
            return Err(PostgresError::UnexpectedAnswer {
                step: "reading the schema archive".to_owned(),
                fact: format!("{} entries in the script and {} in the list of contents", read.len(), listed.len()),
            });
        }
        Ok(listing)
    }

    /// Restores one entry by `pg_restore` itself, which alone can send bytes that are not UTF-8.
    pub(super) async fn restore_entry(&self, entry: &Entry) -> Result<()> {
        let list = self.beside("entry.list");
        let line = format!("{}; 0 0 ENTRY\n", entry.id);
        tokio::fs::write(&list, line).await.map_err(|source| unusable(&list, source))?;
        let mut use_list = OsString::from("--use-list=");
        use_list.push(&list);
        let arguments: Vec<OsString> = vec![
            use_list,
            "--exit-on-error".into(),
            // Only with `--verbose` does an error name its entry. The other lines are not kept.
            "--verbose".into(),
            "--no-password".into(),
            format!("--dbname={}", self.settings.database_argument()).into(),
        ];
        self.run_plain(arguments).await
    }

    async fn run(&self, section: Section, mut arguments: Vec<OsString>) -> Result<()> {
        arguments.push(format!("--section={}", section.as_str()).into());
        self.run_plain(arguments).await
    }

    async fn run_plain(&self, mut arguments: Vec<OsString>) -> Result<()> {
        let environment = self.settings.libpq_environment(self.directory())?;
        if !self.tablespaces {
            arguments.push("--no-tablespaces".into());
        }
        arguments.push(self.path.into());
        self.tools.run("pg_restore", &environment, &arguments).await
    }

    fn directory(&self) -> &Path {
        self.path.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."))
    }

    fn beside(&self, name: &str) -> std::path::PathBuf {
        self.directory().join(name)
    }
}

async fn read(path: &Path) -> Result<Vec<u8>> {
    tokio::fs::read(path).await.map_err(|source| unusable(path, source))
}

fn unusable(path: &Path, source: std::io::Error) -> PostgresError {
    PostgresError::File { path: path.display().to_string(), source }
}

/// `215; 1259 16390` of the line `215; 1259 16390 TABLE public t postgres`. Other lines are comments.
fn key_of_line(line: &str) -> Option<String> {
    let (id, rest) = line.split_once("; ")?;
    let mut numbers = rest.splitn(3, ' ');
    let (class, oid) = (numbers.next()?, numbers.next()?);
    id.parse::<u32>().is_ok().then(|| format!("{id}; {class} {oid}"))
}

/// Cuts a script with `--verbose` into entries. The comments before each name it: `TOC entry 215 (class 1259 OID 16390)`, `Dependencies: 5 7`,
/// `Name: t; Type: TABLE; Schema: public; Owner: postgres`. Source: `_printTocEntry()` in pg_backup_archiver.c.
fn read_script(script: &[u8]) -> Listing {
    let mut listing = Listing { preamble: Vec::new(), entries: Vec::new() };
    let mut entries: Vec<Entry> = Vec::new();
    let mut settings: Vec<String> = Vec::new();
    for piece in pieces(script) {
        match piece {
            Piece::Comment(comment) => {
                let comment = String::from_utf8_lossy(comment);
                if let Some(key) = key_of_comment(&comment) {
                    entries.push(Entry::new(key, settings.join(";\n").into()));
                } else if let Some(entry) = entries.last_mut() {
                    entry.read_comment(&comment);
                }
            }
            Piece::Statement(statement) => match (std::str::from_utf8(statement), entries.last_mut()) {
                (Ok(statement), None) => listing.preamble.push(statement.to_owned()),
                // It is for the entries that follow, until the next one of its name.
                (Ok(statement), Some(_)) if statement.starts_with("SET default_") => {
                    let name = |setting: &str| setting.split(' ').nth(1).unwrap_or_default().to_owned();
                    settings.retain(|setting| name(setting) != name(statement));
                    settings.push(statement.to_owned());
                }
                (Ok(statement), Some(entry)) => {
                    entry.add(statement);
                }
                (Err(_), Some(entry)) => entry.statements = None,
                (Err(_), None) => {}
            },
        }
    }
    listing.entries = entries.into_iter().map(Arc::new).collect();
    listing
}

fn key_of_comment(comment: &str) -> Option<String> {
    let rest = comment.strip_prefix("TOC entry ")?.strip_suffix(')')?;
    let (id, rest) = rest.split_once(" (class ")?;
    let (class, oid) = rest.split_once(" OID ")?;
    id.parse::<u32>().is_ok().then(|| format!("{id}; {class} {oid}"))
}

impl Entry {
    fn new(key: String, settings: Arc<str>) -> Self {
        let id = key.split(';').next().and_then(|id| id.parse().ok()).unwrap_or_default();
        let (kind, schema, name) = (String::new(), String::new(), String::new());
        Self { id, key, kind, schema, name, dependencies: Vec::new(), settings, statements: Some(Vec::new()) }
    }

    /// Adds a statement. One that runs as another role is one with those around it, which begin and end that.
    fn add(&mut self, statement: &str) {
        const AS_ANOTHER: &str = "SET SESSION AUTHORIZATION";
        let Some(statements) = &mut self.statements else { return };
        match statements.last_mut() {
            Some(open) if open.starts_with(AS_ANOTHER) && !open.contains("RESET SESSION AUTHORIZATION") => {
                open.push_str(";\n");
                open.push_str(statement);
            }
            _ => statements.push(statement.to_owned()),
        }
    }

    /// Whether the settings of the archive decide how it is stored.
    pub(super) fn is_stored(&self) -> bool {
        matches!(self.kind.as_str(), "TABLE" | "MATERIALIZED VIEW" | "INDEX" | "CONSTRAINT")
    }

    fn read_comment(&mut self, comment: &str) {
        if let Some(ids) = comment.strip_prefix("Dependencies: ") {
            self.dependencies = ids.split(' ').filter_map(|id| id.parse().ok()).collect();
        } else if let Some(name) = comment.strip_prefix("Name: ")
            && let Some((rest, _)) = name.rsplit_once("; Owner:")
            && let Some((rest, schema)) = rest.rsplit_once("; Schema: ")
            && let Some((name, kind)) = rest.rsplit_once("; Type: ")
        {
            (self.name, self.kind) = (name.to_owned(), kind.to_owned());
            self.schema = if schema == "-" { String::new() } else { schema.to_owned() };
        }
    }
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    pub(in crate::restore) fn entry(id: u32, kind: &str, dependencies: &[u32]) -> Arc<Entry> {
        let (kind, dependencies) = (kind.to_owned(), dependencies.to_vec());
        Arc::new(Entry { kind, dependencies, ..Entry::new(format!("{id}; 0 0"), "".into()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: &str = "--\n-- PostgreSQL database dump\n--\n\n\\restrict x\n\nSET row_security = off;\n\n\
        --\n-- TOC entry 222 (class 1255 OID 16395)\n-- Name: f(integer); Type: FUNCTION; Schema: public; Owner: postgres\n-- Data Pos: 0\n--\n\n\
        CREATE FUNCTION \"public\".\"f\"(\"a\" integer) RETURNS integer AS $$;$$;\n\n\nALTER FUNCTION \"public\".\"f\"(\"a\" integer) OWNER TO postgres;\n\n\
        SET default_tablespace = '';\n\nSET default_table_access_method = heap;\n\n\
        --\n-- TOC entry 215 (class 1259 OID 16385)\n-- Dependencies: 7 222\n-- Name: t; Type: TABLE; Schema: public; Owner: postgres\n--\n\n\
        CREATE TABLE t (a int);\n\n\
        --\n-- TOC entry 3386 (class 0 OID 0)\n-- Name: TABLE \"t\"; Type: ACL; Schema: public; Owner: postgres\n--\n\n\
        GRANT SELECT ON TABLE t TO a;\nSET SESSION AUTHORIZATION \"a\";\nGRANT SELECT ON TABLE t TO b;\nRESET SESSION AUTHORIZATION;\n\n\n-- Completed on 2026\n\n\\unrestrict x\n";

    #[test]
    fn a_script_is_cut_into_entries_with_their_statements_and_settings() {
        let Listing { preamble, entries } = read_script(SCRIPT.as_bytes());
        assert_eq!(preamble, ["SET row_security = off"]);
        let [function, table, acl] = entries.as_slice() else { panic!("{entries:?}") };
        assert_eq!((function.id, function.kind.as_str(), function.name.as_str()), (222, "FUNCTION", "f(integer)"));
        assert_eq!((function.statements.as_ref().unwrap().len(), &*function.settings), (2, ""));
        assert_eq!((table.id, table.dependencies.as_slice()), (215, [7, 222].as_slice()));
        assert_eq!(&*table.settings, "SET default_tablespace = '';\nSET default_table_access_method = heap");
        let [_, as_another] = acl.statements.as_deref().unwrap() else { panic!("{acl:?}") };
        assert_eq!(
            as_another,
            "SET SESSION AUTHORIZATION \"a\";\nGRANT SELECT ON TABLE t TO b;\nRESET SESSION AUTHORIZATION"
        );
        assert_eq!(acl.settings, table.settings, "no setting for what follows");
        assert_eq!((acl.object(), acl.key.as_str()), ("public.t".to_owned(), "3386; 0 0"));
    }

    #[test]
    fn an_entry_is_named_as_an_inventory_names_its_object() {
        let entry = |kind: &str, name: &str| Entry {
            kind: kind.to_owned(),
            name: name.to_owned(),
            schema: "public".to_owned(),
            ..Entry::new("1; 2 3".to_owned(), "".into())
        };
        for (kind, name, object) in [
            ("FK CONSTRAINT", "purchase purchase_customer", "purchase_customer on public.purchase"),
            ("TRIGGER", "space space_version", "space_version on public.space"),
            ("ACL", "COLUMN \"t\".\"a\"", "public.t"),
            ("ACL", "FUNCTION \"add\"(\"a\" integer)", "public.add(a integer)"),
            ("ACL", "SCHEMA \"app\"", "app"),
            ("INDEX", "person_plain", "public.person_plain"),
            ("DEFAULT", "t a", "public.t"),
        ] {
            assert_eq!(entry(kind, name).object(), object);
        }
    }

    #[test]
    fn entries_that_come_last_are_known_by_their_kind_and_nothing_else_is_taken_for_one() {
        let entry = |kind: &str, name: &str| Entry {
            kind: kind.to_owned(),
            name: name.to_owned(),
            ..Entry::new("1; 2 3".to_owned(), "".into())
        };
        for (kind, name) in [
            ("EVENT TRIGGER", "on_drop"),
            ("PUBLICATION", "everything"),
            ("PUBLICATION TABLE", "some_tables keeper"),
            ("PUBLICATION TABLES IN SCHEMA", "p zoo"),
            ("COMMENT", "EVENT TRIGGER \"on_drop\""),
            ("SECURITY LABEL", "TABLE \"animal\""),
            ("SUBSCRIPTION", "s"),
        ] {
            assert!(entry(kind, name).is_last(), "{kind}");
        }
        for (kind, name) in [("TABLE", "EVENT TRIGGER"), ("COMMENT", "TABLE \"PUBLICATION\""), ("FUNCTION", "note()")] {
            assert!(!entry(kind, name).is_last(), "{kind}");
        }
    }
}
