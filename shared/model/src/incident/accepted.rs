//! What a person has accepted of a problem: as it was, or objects by their names.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::subject::Part;
use crate::fact::Fact;

/// Largest number of distinct causes of one incident that are remembered as accepted.
const MOST_CAUSES: usize = 10;

/// Largest number of objects of one incident that have names, and of those that are accepted: a person accepts each by hand.
const MOST_OBJECTS: usize = 100;

/// Longest name of an object, in bytes: some 60 of a key, or a schema and a table. Longer ones are not accepted by name.
const LONGEST_OBJECT_BYTES: usize = 200;

/// A problem as a person has accepted it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// Its parts.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub parts: BTreeSet<Part>,
    /// The highest number of its findings, as far as they are counted, without the objects that are accepted by name.
    #[serde(default)]
    pub findings: u64,
    /// Its causes: each hint, without what it names.
    #[serde(default)]
    pub causes: BTreeSet<String>,
    /// Objects that were accepted by name. They stay accepted until the incident is resolved.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub objects: BTreeSet<String>,
}

/// The damaged objects of a problem, by the names that findings have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DamagedObjects {
    /// Their names.
    pub named: BTreeSet<String>,
    /// Whether there are more.
    #[serde(default)]
    pub more: bool,
}

impl DamagedObjects {
    /// These, as far as there are not too many. `more` when others are not among them.
    pub fn new(names: impl IntoIterator<Item = String>, more: bool) -> Self {
        let mut objects = Self { named: BTreeSet::new(), more };
        names.into_iter().for_each(|name| objects.add(name));
        objects
    }

    /// These and others.
    #[must_use]
    pub(super) fn and(mut self, others: &Self) -> Self {
        self.more |= others.more;
        others.named.iter().for_each(|name| self.add(name.clone()));
        self
    }

    /// Whether no object is named.
    pub fn is_empty(&self) -> bool {
        self.named.is_empty()
    }

    fn add(&mut self, name: String) {
        let has_room = self.named.len() < MOST_OBJECTS && name.len() <= LONGEST_OBJECT_BYTES;
        if has_room {
            self.named.insert(name);
        } else {
            self.more |= !self.named.contains(&name);
        }
    }
}

/// A problem as it is held against what was accepted.
pub(super) struct Problem<'a> {
    pub(super) parts: BTreeSet<&'a Part>,
    pub(super) objects: &'a DamagedObjects,
    pub(super) facts: &'a [(String, String)],
    pub(super) hint: &'a str,
}

impl Accepted {
    /// The objects that were accepted by name before, and these. A number of findings that was accepted could hide others, so it no longer
    /// counts.
    pub(super) fn by_name(before: Option<&Self>, names: &[String]) -> Self {
        let mut objects = before.map(|accepted| accepted.objects.clone()).unwrap_or_default();
        for name in names.iter().filter(|name| name.len() <= LONGEST_OBJECT_BYTES) {
            if objects.len() < MOST_OBJECTS {
                objects.insert(name.clone());
            }
        }
        Self { objects, ..Self::default() }
    }

    /// This, and the problem as it is now.
    pub(super) fn with(&self, problem: &Problem<'_>) -> Self {
        let mut accepted = self.clone();
        accepted.parts.extend(problem.parts.iter().map(|part| (*part).clone()));
        accepted.findings = accepted.findings.max(self.unaccepted(problem));
        if accepted.causes.len() >= MOST_CAUSES {
            accepted.causes.clear();
        }
        accepted.causes.insert(cause(problem.hint));
        accepted
    }

    /// Whether each damaged object is accepted by name.
    pub(super) fn names_all(&self, objects: &DamagedObjects) -> bool {
        !objects.is_empty() && !objects.more && objects.named.is_subset(&self.objects)
    }

    /// Whether the problem goes beyond this.
    pub(super) fn is_exceeded_by(&self, problem: &Problem<'_>) -> bool {
        let has_new_part =
            !self.parts.contains(&Part::Everything) && problem.parts.iter().any(|part| !self.parts.contains(*part));
        has_new_part || self.unaccepted(problem) > self.findings || !self.causes.contains(&cause(problem.hint))
    }

    /// The number of findings, without the objects that are accepted by name.
    fn unaccepted(&self, problem: &Problem<'_>) -> u64 {
        let objects = problem.objects;
        if self.objects.is_empty() || objects.is_empty() || objects.more {
            return findings(problem.facts);
        }
        objects.named.difference(&self.objects).count() as u64
    }
}

/// The number of findings among the facts, if there is one. Those that are no damage do not count, where they are told apart.
fn findings(facts: &[(String, String)]) -> u64 {
    let count = |fact: Fact| facts.iter().find(|(name, _)| name == fact.as_str())?.1.parse().ok();
    count(Fact::Damaged).or_else(|| count(Fact::Findings)).unwrap_or_default()
}

/// The cause that a hint is about. A hint says what to do, and so is the same for the same cause. The names in it, in backticks, are left
/// out: a file or a table may have another name each time.
fn cause(hint: &str) -> String {
    hint.split('`').step_by(2).collect()
}
