//! Parts of the statements that give roles and databases their settings.

use lifeboat_model::Setting;

use crate::session::identifier::{quote_identifier, quote_literal};

/// Settings whose value is a list of names: quoting one as a whole would make one name of it. Source: the settings marked
/// `GUC_LIST_QUOTE` in guc_tables.c, as `variable_is_guc_list_quote()` of pg_dump has them.
const LISTS_OF_NAMES: [&str; 6] = [
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
];

/// `name = value` as SET takes it, which gives the very value that was read.
pub(super) fn assignment(setting: &Setting) -> String {
    let name = quote_identifier(&setting.name);
    if !LISTS_OF_NAMES.contains(&setting.name.to_ascii_lowercase().as_str()) {
        return format!("{name} = {}", quote_literal(&setting.value));
    }
    format!("{name} = {}", list_of_names(&setting.value))
}

/// The names in a list, each a literal.
pub(super) fn list_of_names(list: &str) -> String {
    let names: Vec<String> = names_of(list).iter().map(|name| quote_literal(name)).collect();
    if names.is_empty() { "''".to_owned() } else { names.join(", ") }
}

/// The names in a list such as `zoo, "it's", "a""b"`.
fn names_of(list: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = list.trim_start();
    while !rest.is_empty() {
        let mut name = String::new();
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut letters = quoted.char_indices().peekable();
            let mut end = quoted.len();
            while let Some((at, letter)) = letters.next() {
                if letter != '"' {
                    name.push(letter);
                } else if letters.next_if(|(_, next)| *next == '"').is_some() {
                    name.push('"');
                } else {
                    end = at + 1;
                    break;
                }
            }
            rest = quoted.get(end..).unwrap_or_default();
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            name.push_str(rest.get(..end).unwrap_or_default().trim_end());
            rest = rest.get(end..).unwrap_or_default();
        }
        names.push(name);
        rest = rest.trim_start().strip_prefix(',').unwrap_or_default().trim_start();
    }
    names
}

/// ServerText that become part of a statement come out of a repository: letters alone.
pub(super) fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_names_is_taken_apart_and_any_other_value_is_one_literal() {
        let set = |name: &str, value: &str| {
            assignment(&Setting { role: None, name: name.to_owned(), value: value.to_owned() })
        };
        assert_eq!(set("search_path", "zoo, \"it's\",\"a\"\"b\" , c"), "\"search_path\" = 'zoo', 'it''s', 'a\"b', 'c'");
        assert_eq!(set("search_path", "\"\""), "\"search_path\" = ''");
        assert_eq!(set("search_path", ""), "\"search_path\" = ''");
        assert_eq!(set("search_path", "\"$user\", \"open"), "\"search_path\" = '$user', 'open'");
        assert_eq!(set("zoo.motto", "a, 'b' \\"), "\"zoo.motto\" = E'a, ''b'' \\\\'");
    }
}
