//! A table without what the server may refuse: its rows come first, and its defaults and checks afterwards, one by one.

/// The words that end a column's type, as `pg_dump` writes them (`dumpTableSchema()` in pg_dump.c).
const AFTER_TYPE: [&str; 4] = [" COLLATE ", " DEFAULT ", " GENERATED ALWAYS AS ", " NOT NULL"];

/// A table, and what it lacks.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BareTable {
    /// CREATE TABLE with the columns' names and types alone.
    pub(super) create: String,
    /// Statements that bring the rest, each of which may be refused without the others.
    pub(super) rest: Vec<String>,
}

impl BareTable {
    /// Takes a statement of `pg_dump` apart. `None` if it is no CREATE TABLE with a list of columns.
    pub(super) fn of(statement: &str) -> Option<Self> {
        let open = first_outside_of_quotes(statement, "(")?;
        let head = statement.get(..open)?;
        if !head.contains("CREATE") || !head.contains("TABLE ") {
            return None;
        }
        let table = head.split_once("TABLE ")?.1.trim().to_owned();
        let (elements, end) = elements(statement.get(open + 1..)?)?;
        let tail = statement.get(open + 1 + end..)?;
        let (mut columns, mut rest) = (Vec::new(), Vec::new());
        for element in elements.iter().map(|element| element.trim()).filter(|element| !element.is_empty()) {
            if element.starts_with("CONSTRAINT ") {
                rest.push(format!("ALTER TABLE {table} ADD {element}"));
                continue;
            }
            let begins = AFTER_TYPE.iter().filter_map(|word| first_outside_of_quotes(element, word)).min();
            let (bare, properties) = element.split_at(begins.unwrap_or(element.len()));
            columns.push(format!("    {bare}"));
            rest.extend(properties_of(&table, bare, properties));
        }
        let create = format!("{head}(\n{}\n{tail}", columns.join(",\n"));
        Some(Self { create, rest })
    }
}

/// The statements that give a column its properties. A generated column cannot be made of another one: it is added anew.
fn properties_of(table: &str, column: &str, properties: &str) -> Vec<String> {
    let name = name_of(column);
    let alter = format!("ALTER TABLE ONLY {table} ALTER COLUMN {name}");
    let begin = |word: &str| first_outside_of_quotes(properties, word);
    let ends: Vec<usize> = AFTER_TYPE.iter().filter_map(|word| begin(word)).chain([properties.len()]).collect();
    let value = |word: &str| {
        let start = begin(word)? + word.len();
        let end = ends.iter().copied().filter(|end| *end >= start).min()?;
        properties.get(start..end).map(str::trim)
    };
    let mut statements = Vec::new();
    if let Some(collation) = value(" COLLATE ") {
        let kind = column.get(name.len()..).unwrap_or_default().trim();
        statements.push(format!("{alter} TYPE {kind} COLLATE {collation}"));
    }
    if let Some(default) = value(" DEFAULT ") {
        statements.push(format!("{alter} SET DEFAULT {default}"));
    }
    if begin(" GENERATED ALWAYS AS ").is_some() {
        statements.push(format!("ALTER TABLE ONLY {table} DROP COLUMN {name}, ADD COLUMN {column}{properties}"));
    } else if begin(" NOT NULL").is_some() {
        statements.push(format!("{alter} SET NOT NULL"));
    }
    statements
}

/// `"a b"` of `"a b" "public"."type"`.
fn name_of(column: &str) -> &str {
    first_outside_of_quotes(column, " ").and_then(|end| column.get(..end)).unwrap_or(column)
}

/// The first place of `word` that is neither in quotes nor, unless it is a parenthesis itself, in parentheses.
fn first_outside_of_quotes(text: &str, word: &str) -> Option<usize> {
    let (mut depth, mut quote) = (0_u32, None);
    for (at, letter) in text.char_indices() {
        if quote.is_none() && depth == 0 && text.get(at..).is_some_and(|rest| rest.starts_with(word)) {
            return Some(at);
        }
        match (quote, letter) {
            (Some(open), _) if open == letter => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(letter),
            (None, '(') => depth += 1,
            (None, ')') => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

/// The elements of a list up to its closing parenthesis, and where that is.
pub(super) fn elements(list: &str) -> Option<(Vec<&str>, usize)> {
    let (mut depth, mut start, mut quote, mut found) = (0_u32, 0, None, Vec::new());
    for (at, letter) in list.char_indices() {
        match (quote, letter) {
            (Some(open), _) if open == letter => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(letter),
            (None, '(') => depth += 1,
            (None, ')') if depth == 0 => {
                found.push(list.get(start..at)?.trim());
                return Some((found, at));
            }
            (None, ')') => depth -= 1,
            (None, ',') if depth == 0 => {
                found.push(list.get(start..at)?.trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_taken_apart_into_its_columns_and_what_they_lack() {
        let table = BareTable::of(
            "CREATE TABLE \"public\".\"t (1)\" (\n    \"id\" integer DEFAULT \"public\".\"f\"(1, ', NOT NULL') NOT NULL,\n    \
             \"a b\" character varying(10) COLLATE \"x\".\"y\" DEFAULT 'DEFAULT 1'::\"text\",\n    \
             \"g\" integer GENERATED ALWAYS AS ((\"id\" * 2)) STORED,\n    \"n\" numeric(10,2),\n    \
             CONSTRAINT \"c\" CHECK ((\"id\" > 0))\n)\nPARTITION BY RANGE (\"id\")",
        )
        .unwrap();
        assert_eq!(
            table.create,
            "CREATE TABLE \"public\".\"t (1)\" (\n    \"id\" integer,\n    \"a b\" character varying(10),\n    \"g\" integer,\n    \
             \"n\" numeric(10,2)\n)\nPARTITION BY RANGE (\"id\")"
        );
        let t = "\"public\".\"t (1)\"";
        assert_eq!(
            table.rest,
            [
                format!("ALTER TABLE ONLY {t} ALTER COLUMN \"id\" SET DEFAULT \"public\".\"f\"(1, ', NOT NULL')"),
                format!("ALTER TABLE ONLY {t} ALTER COLUMN \"id\" SET NOT NULL"),
                format!("ALTER TABLE ONLY {t} ALTER COLUMN \"a b\" TYPE character varying(10) COLLATE \"x\".\"y\""),
                format!("ALTER TABLE ONLY {t} ALTER COLUMN \"a b\" SET DEFAULT 'DEFAULT 1'::\"text\""),
                format!(
                    "ALTER TABLE ONLY {t} DROP COLUMN \"g\", ADD COLUMN \"g\" integer GENERATED ALWAYS AS ((\"id\" * 2)) STORED"
                ),
                format!("ALTER TABLE {t} ADD CONSTRAINT \"c\" CHECK ((\"id\" > 0))"),
            ]
        );
        assert_eq!(BareTable::of("CREATE VIEW v AS SELECT (1)"), None);
        assert!(BareTable::of("CREATE TABLE p PARTITION OF q DEFAULT").is_none());
    }
}
