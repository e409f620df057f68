//! The inventory of a schema. A drill compares the restored database with it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

/// The kinds of objects an inventory lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ObjectKind {
    /// An extension; its definition is its schema. Its version is among the [`Surroundings`].
    Extension,
    /// A schema.
    Schema,
    /// A type: enum labels, domain definition or composite columns.
    Type,
    /// A relation and its columns.
    Relation,
    /// A constraint.
    Constraint,
    /// An index.
    Index,
    /// A row level security policy.
    Policy,
    /// A trigger.
    Trigger,
    /// A function or procedure.
    Routine,
    /// A view's or materialized view's query.
    View,
    /// A sequence's parameters.
    Sequence,
    /// A cast.
    Cast,
    /// A collation.
    Collation,
    /// The comment on an object; it is the definition.
    Comment,
    /// Privileges of objects that a role will make.
    DefaultPrivileges,
    /// An event trigger.
    EventTrigger,
    /// A foreign data wrapper, a foreign server or a user mapping, whose options are not compared.
    ForeignData,
    /// An operator, an operator class or a member of an operator family.
    Operator,
    /// A publication, or a table or schema of one.
    Publication,
    /// A rule.
    Rule,
    /// A security label on an object; it is the definition.
    SecurityLabel,
    /// Extended statistics.
    Statistics,
    /// A text search configuration or dictionary.
    TextSearch,
    /// An object of a rarer kind, by its name alone: a language, conversion, transform, access method, or text search parser.
    Other,
}

impl fmt::Display for ObjectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Extension => "extension",
            Self::Schema => "schema",
            Self::Type => "type",
            Self::Relation => "relation",
            Self::Constraint => "constraint",
            Self::Index => "index",
            Self::Policy => "policy",
            Self::Trigger => "trigger",
            Self::Routine => "routine",
            Self::View => "view",
            Self::Sequence => "sequence",
            Self::Cast => "cast",
            Self::Collation => "collation",
            Self::Comment => "comment",
            Self::DefaultPrivileges => "default privileges",
            Self::EventTrigger => "event trigger",
            Self::ForeignData => "foreign data",
            Self::Operator => "operator",
            Self::Publication => "publication",
            Self::Rule => "rule",
            Self::SecurityLabel => "security label",
            Self::Statistics => "statistics",
            Self::TextSearch => "text search",
            Self::Other => "object",
        })
    }
}

/// One object by kind and identity, with a definition that is equal on both sides of a faithful restore.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct InventoryObject {
    /// Its kind.
    pub kind: ObjectKind,
    /// Its name, qualified so that it is unique among its kind.
    pub identity: String,
    /// Its definition as the server prints it.
    pub definition: String,
}

/// All objects of a database that a restore must bring back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    /// Sorted by kind and identity.
    pub objects: Vec<InventoryObject>,
    /// What is the server's as much as the database's. Absent in backups that are older than this field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub surroundings: Option<Surroundings>,
}

/// What a restore can bring back only where the server has it: versions of extensions, tablespaces, and the schema `public`, which comes
/// with each database.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Surroundings {
    /// The version of each extension, by its name.
    pub extensions: BTreeMap<String, String>,
    /// Owner and grants of the schema `public`, in words; absent if there is none. The owner is left out when it is the server's default.
    pub public: Option<String>,
    /// The tablespace of the database itself.
    pub tablespace: String,
    /// The tablespace of each relation and index that is not in the database's, by its qualified name.
    pub tablespaces: BTreeMap<String, String>,
}

impl Surroundings {
    /// How the extensions of `restored` differ, in words. A missing extension is a missing object of the inventory.
    pub fn extension_differences(&self, restored: &Self) -> Vec<String> {
        let versions =
            self.extensions.iter().filter_map(|(name, ours)| Some((name, ours, restored.extensions.get(name)?)));
        versions
            .filter(|(_, ours, theirs)| ours != theirs)
            .map(|(name, ours, theirs)| format!("extension `{name}` has version `{theirs}` and had `{ours}`"))
            .collect()
    }

    /// How the tablespaces of `restored` differ, in words: a sentence about the database and one about all of its relations and indexes.
    pub fn tablespace_differences(&self, restored: &Self) -> Vec<String> {
        let mut found = Vec::new();
        if self.tablespace != restored.tablespace {
            let (ours, theirs) = (&self.tablespace, &restored.tablespace);
            found.push(format!("the database is in tablespace `{theirs}` and was in `{ours}`"));
        }
        let place = |of: &Self, name: &String| of.tablespaces.get(name).unwrap_or(&of.tablespace).clone();
        let names: BTreeSet<&String> = self.tablespaces.keys().chain(restored.tablespaces.keys()).collect();
        let moved: Vec<&String> = names.into_iter().filter(|name| place(self, name) != place(restored, name)).collect();
        if let Some(first) = moved.first() {
            let (ours, theirs) = (place(self, first), place(restored, first));
            let count = moved.len();
            found.push(format!(
                "{count} tables or indexes are in another tablespace, such as `{first}`, which is in `{theirs}` and was in `{ours}`"
            ));
        }
        found
    }

    /// All tablespaces that relations and indexes were placed in by name.
    pub fn named_tablespaces(&self) -> BTreeSet<&str> {
        self.tablespaces.values().map(String::as_str).collect()
    }
}

/// How a restored object differs from the source's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// The source had it; the restored database does not.
    Missing(InventoryObject),
    /// Both have it, with different definitions.
    Differs(InventoryObject),
    /// Only the restored database has it.
    Unexpected(InventoryObject),
}

impl Inventory {
    /// How `restored` differs from this inventory of the source; empty when a restore was faithful.
    pub fn differences(&self, restored: &Self) -> Vec<Difference> {
        let theirs = restored.by_name();
        let ours = self.by_name();
        let lost =
            self.objects.iter().filter_map(|object| match theirs.get(&(object.kind, object.identity.as_str())) {
                None => Some(Difference::Missing(object.clone())),
                Some(other) if other.definition != object.definition => Some(Difference::Differs(object.clone())),
                Some(_) => None,
            });
        let extra = restored.objects.iter().filter(|o| !ours.contains_key(&(o.kind, o.identity.as_str())));
        lost.chain(extra.cloned().map(Difference::Unexpected)).collect()
    }

    fn by_name(&self) -> BTreeMap<(ObjectKind, &str), &InventoryObject> {
        self.objects.iter().map(|object| ((object.kind, object.identity.as_str()), object)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inventory(objects: &[(&str, &str)]) -> Inventory {
        let object = |(identity, definition): &(&str, &str)| InventoryObject {
            kind: ObjectKind::Index,
            identity: (*identity).to_owned(),
            definition: (*definition).to_owned(),
        };
        Inventory { objects: objects.iter().map(object).collect(), surroundings: None }
    }

    #[test]
    fn a_lost_a_changed_and_an_added_object_are_each_named() {
        let source = inventory(&[("a", "1"), ("b", "1"), ("c", "1")]);
        let restored = inventory(&[("a", "1"), ("b", "2"), ("d", "1")]);
        let names: Vec<String> = source
            .differences(&restored)
            .into_iter()
            .map(|difference| match difference {
                Difference::Missing(o) => format!("missing {}", o.identity),
                Difference::Differs(o) => format!("differs {}", o.identity),
                Difference::Unexpected(o) => format!("unexpected {}", o.identity),
            })
            .collect();
        assert_eq!(names, ["differs b", "missing c", "unexpected d"]);
        assert!(source.differences(&source).is_empty());
    }
    #[test]
    fn versions_and_tablespaces_that_differ_are_named_and_those_that_one_server_alone_has_are_compared_by_place() {
        let text = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let source = Surroundings {
            extensions: text(&[("citext", "1.6"), ("gone", "1"), ("pgcrypto", "1.3")]),
            public: None,
            tablespace: "pg_default".to_owned(),
            tablespaces: text(&[("a.one", "fast"), ("a.two", "fast")]),
        };
        assert_eq!(source.named_tablespaces(), BTreeSet::from(["fast"]));
        let mut restored = source.clone();
        assert!(
            source.extension_differences(&restored).is_empty() && source.tablespace_differences(&restored).is_empty()
        );
        restored.extensions = text(&[("citext", "1.6"), ("pgcrypto", "1.4")]);
        assert_eq!(source.extension_differences(&restored), ["extension `pgcrypto` has version `1.4` and had `1.3`"]);
        // In a database whose own tablespace is that of the tables, they are where they were.
        (restored.tablespace, restored.tablespaces) = ("fast".to_owned(), BTreeMap::new());
        let moved = "the database is in tablespace `fast` and was in `pg_default`";
        assert_eq!(source.tablespace_differences(&restored), [moved]);
        restored.tablespace = "pg_default".to_owned();
        let moved = "2 tables or indexes are in another tablespace, such as `a.one`, which is in `pg_default` and was in `fast`";
        assert_eq!(source.tablespace_differences(&restored), [moved]);
    }

    #[test]
    fn an_inventory_of_an_older_backup_is_read_and_written_back_as_it_is() {
        let stored = r#"{"objects":[{"kind":"index","identity":"a","definition":"1"}]}"#;
        let read: Inventory = serde_json::from_str(stored).unwrap();
        assert_eq!(read.surroundings, None);
        assert_eq!(serde_json::to_string(&read).unwrap(), stored);
    }
}
