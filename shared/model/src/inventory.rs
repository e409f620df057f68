//! The inventory of a schema. A drill compares the restored database with it.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The kinds of objects an inventory lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ObjectKind {
    /// An extension; its definition is its schema (versions may differ from server to server).
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
        Inventory { objects: objects.iter().map(object).collect() }
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
}
