//! Names and texts as SQL writes them.

use std::fmt;

/// The schema in which an unfinished restore keeps its marks. It is no user's: no backup, inventory or check of a database counts it.
pub(crate) const MARKS_SCHEMA: &str = "lifeboat_restore";

/// A relation by schema and name. `Display` is for people and quotes only where that is needed: `public.patient`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct RelationName {
    /// Its schema, unquoted.
    pub schema: String,
    /// Its name, unquoted.
    pub name: String,
}

impl RelationName {
    /// The relation of this schema and name.
    pub fn new(schema: impl Into<String>, name: impl Into<String>) -> Self {
        Self { schema: schema.into(), name: name.into() }
    }

    /// The qualified name as SQL.
    pub(crate) fn sql(&self) -> String {
        format!("{}.{}", quote_identifier(&self.schema), quote_identifier(&self.name))
    }
}

impl fmt::Display for RelationName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let part = |name: &str| if name.chars().all(plain) { name.to_owned() } else { quote_identifier(name) };
        write!(f, "{}.{}", part(&self.schema), part(&self.name))
    }
}

/// Always quoted: no list of reserved words to keep up to date.
pub(crate) fn quote_identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text literal, independent of `standard_conforming_strings`, as `quote_literal()` writes it, but always on one line.
pub(crate) fn quote_literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if !quoted.contains(['\\', '\n', '\r']) {
        return format!("'{quoted}'");
    }
    format!("E'{}'", quoted.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r"))
}

/// Column names for a select list or a COPY.
pub(crate) fn column_list(columns: &[String]) -> String {
    columns.iter().map(|column| quote_identifier(column)).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_backslashes_cannot_end_a_name_or_a_literal() {
        assert_eq!(RelationName::new("s", "a\"; drop").sql(), "\"s\".\"a\"\"; drop\"");
        assert_eq!(RelationName::new("s", "a\"; drop").to_string(), "s.\"a\"\"; drop\"");
        assert_eq!(quote_literal("it's"), "'it''s'");
        assert_eq!(quote_literal("\\'"), "E'\\\\'''");
    }
}
