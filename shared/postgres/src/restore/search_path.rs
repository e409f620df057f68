//! The search paths that definitions and rows of a backup may lean on.

use lifeboat_model::{Globals, Setting};

use crate::restore::statement::list_of_names;

/// What PostgreSQL has where nothing is set.
const DEFAULT: &str = "'$user', 'public'";

/// Search paths that are tried. Each costs another attempt of what is refused.
const MOST: usize = 8;

/// The search paths that the source's database and roles have, as SQL: the database's own first, else PostgreSQL's default.
pub fn search_paths(globals: Option<&Globals>) -> Vec<String> {
    let is_one = |setting: &&Setting| setting.name == "search_path";
    let of_database = globals.into_iter().flat_map(|globals| &globals.database.settings).filter(is_one);
    let (own, of_roles_in_database): (Vec<&Setting>, Vec<&Setting>) =
        of_database.partition(|setting| setting.role.is_none());
    let of_roles =
        globals.into_iter().flat_map(|globals| &globals.roles).flat_map(|role| &role.settings).filter(is_one);
    let named =
        own.into_iter().chain(of_roles_in_database).chain(of_roles).map(|setting| list_of_names(&setting.value));
    let mut paths: Vec<String> = Vec::new();
    let has_own =
        globals.is_some_and(|globals| globals.database.settings.iter().any(|one| is_one(&one) && one.role.is_none()));
    let default = || std::iter::once(DEFAULT.to_owned());
    let all = (!has_own).then(default).into_iter().flatten().chain(named).chain(default());
    for path in all {
        if paths.len() < MOST && !paths.contains(&path) {
            paths.push(path);
        }
    }
    paths
}

#[cfg(test)]
mod tests {
    use lifeboat_model::{DatabaseProperties, Role};

    use super::*;

    #[test]
    fn the_databases_own_comes_first_and_each_is_there_once() {
        assert_eq!(search_paths(None), [DEFAULT]);
        let path = |value: &str| Setting { role: None, name: "search_path".to_owned(), value: value.to_owned() };
        let role =
            |name: &str, value: &str| Role { name: name.to_owned(), settings: vec![path(value)], ..role_named() };
        let mut globals = Globals {
            database: DatabaseProperties { settings: vec![], ..database() },
            roles: vec![role("a", "app, public"), role("b", "app, public"), role("c", "\"$user\", extensions; x")],
            memberships: vec![],
        };
        assert_eq!(search_paths(Some(&globals)), [DEFAULT, "'app', 'public'", "'$user', 'extensions; x'"]);
        globals.database.settings.push(path("own"));
        assert_eq!(search_paths(Some(&globals))[0], "'own'");
        assert_eq!(search_paths(Some(&globals)).last().unwrap(), DEFAULT);
    }

    fn role_named() -> Role {
        Role {
            name: String::new(),
            attributes: vec![],
            connection_limit: -1,
            valid_until: None,
            comment: None,
            settings: vec![],
        }
    }

    fn database() -> DatabaseProperties {
        let owner = "o".to_owned();
        DatabaseProperties { owner, connection_limit: -1, comment: None, settings: vec![], grants: vec![] }
    }
}
