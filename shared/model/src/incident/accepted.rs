//! What a person has accepted of a problem: as it was, or objects by their names.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::acknowledgement::Acknowledgement;
use super::subject::Part;
use crate::fact::Fact;

/// Largest number of distinct causes of one incident that are remembered as accepted.
const MOST_CAUSES: usize = 10;

/// Largest number of objects of one incident that have names, and of those that are accepted: a person accepts each by hand.
const MOST_OBJECTS: usize = 100;

/// Longest name of an object, in bytes: some 60 of a key, or a schema and a table. Longer ones are not accepted by name.
const LONGEST_OBJECT_BYTES: usize = 200;

/// Bytes of all names in one list. An incident has four such lists, and is read as a document of at most 64 KiB.
const MOST_NAME_BYTES: usize = 10 * 1024;

/// Separates the causes in one hint: a verification may find several kinds of damage.
const BETWEEN_CAUSES: &str = "; ";

/// A problem as a person has accepted it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// Its parts.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub parts: BTreeSet<Part>,
    /// The objects that it had.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub known: BTreeSet<String>,
    /// The highest number of its findings. It decides about a problem whose objects do not all have names.
    #[serde(default)]
    pub findings: u64,
    /// Whether it had objects whose names are not kept. Their number decides then, too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
    /// Its causes: each sentence of a hint, without what it names.
    #[serde(default)]
    pub causes: BTreeSet<String>,
    /// Objects that were accepted by name. They stay accepted until the incident is resolved.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub objects: BTreeSet<String>,
    /// Who last accepted objects by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_name: Option<Acknowledgement>,
}

/// The damaged objects of a problem, by the names that findings have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DamagedObjects {
    /// Their names.
    pub named: BTreeSet<String>,
    /// Whether there are more.
    #[serde(default)]
    pub more: bool,
    /// Whether the check could not judge others: what it does not name may still be damaged.
    #[serde(skip)]
    pub has_unread: bool,
}

impl DamagedObjects {
    /// These, as far as there are not too many. `more` when others are not among them.
    pub fn new(names: impl IntoIterator<Item = String>, more: bool) -> Self {
        let mut objects = Self { named: BTreeSet::new(), more, has_unread: false };
        names.into_iter().for_each(|name| objects.add(name));
        objects
    }

    /// The same, when the check could or could not judge all others.
    #[must_use]
    pub fn with_unread(self, has_unread: bool) -> Self {
        Self { has_unread, ..self }
    }

    /// These and others.
    #[must_use]
    pub(super) fn and(mut self, others: &Self) -> Self {
        self.more |= others.more;
        others.named.iter().for_each(|name| self.add(name.clone()));
        self
    }

    /// Whether there are objects, and each has its name here.
    pub fn are_all_named(&self) -> bool {
        !self.named.is_empty() && !self.more
    }

    /// Whether no object is named.
    pub fn is_empty(&self) -> bool {
        self.named.is_empty()
    }

    fn add(&mut self, name: String) {
        if fits(&self.named, &name).is_ok() {
            self.named.insert(name);
        } else {
            self.more = true;
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

/// Why an object cannot be accepted by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectRefusal {
    /// The incident has no such object.
    Unknown,
    /// The name is longer than those that are kept.
    TooLong,
    /// No more names can be kept.
    TooMany,
}

impl fmt::Display for ObjectRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("it is not among the objects of the incident"),
            Self::TooLong => write!(f, "its name is longer than {LONGEST_OBJECT_BYTES} bytes"),
            Self::TooMany => f.write_str("too many objects of the incident are accepted already"),
        }
    }
}

impl Accepted {
    /// This, and these objects by name.
    ///
    /// # Errors
    /// The first name that is none of `objects`, or that cannot be kept.
    pub(super) fn with_names(
        mut self,
        names: &[String],
        objects: &DamagedObjects,
    ) -> Result<Self, (String, ObjectRefusal)> {
        for name in names {
            let is_known = objects.more || objects.named.contains(name) || self.objects.contains(name);
            let kept = if is_known { fits(&self.objects, name) } else { Err(ObjectRefusal::Unknown) };
            kept.map_err(|refusal| (name.clone(), refusal))?;
            self.objects.insert(name.clone());
        }
        Ok(self)
    }

    /// Only what was accepted by name.
    pub(super) fn names_only(&self) -> Self {
        Self { objects: self.objects.clone(), by_name: self.by_name.clone(), ..Self::default() }
    }

    /// This, and the problem as it is now.
    #[must_use]
    pub(super) fn with(mut self, problem: &Problem<'_>) -> Self {
        self.parts.extend(problem.parts.iter().map(|part| (*part).clone()));
        for name in &problem.objects.named {
            match fits(&self.known, name) {
                Ok(()) => drop(self.known.insert(name.clone())),
                Err(_) => self.more = true,
            }
        }
        self.more |= problem.objects.more;
        self.findings = self.findings.max(findings(problem.facts).unwrap_or_default());
        self.with_causes(problem.hint)
    }

    /// This, and the causes that a hint is about.
    #[must_use]
    pub(super) fn with_causes(mut self, hint: &str) -> Self {
        if self.causes.len() >= MOST_CAUSES {
            self.causes.clear();
        }
        self.causes.extend(causes(hint));
        self
    }

    /// Whether each object is accepted by name.
    pub(super) fn names_all(&self, objects: &DamagedObjects) -> bool {
        objects.are_all_named() && objects.named.is_subset(&self.objects)
    }

    /// Whether the hint names a cause that was not accepted. An earlier version kept no causes with names.
    pub(super) fn lacks_a_cause_of(&self, hint: &str) -> bool {
        let known: BTreeSet<&str> = self.causes.iter().flat_map(|cause| cause.split(BETWEEN_CAUSES)).collect();
        !known.is_empty() && causes(hint).any(|cause| !known.contains(cause.as_str()))
    }

    /// Whether the problem goes beyond this. Where the names of all objects are known, they decide: the same damage may be seen from many
    /// parts.
    pub(super) fn is_exceeded_by(&self, problem: &Problem<'_>) -> bool {
        let Problem { parts, objects, facts, hint } = problem;
        let is_new = |name: &String| !self.known.contains(name) && !self.objects.contains(name);
        let has_more = match objects.are_all_named() {
            true if !objects.named.iter().any(is_new) => false,
            true if !self.more => true,
            _ => self.has_new_part(parts, facts) || findings(facts).unwrap_or_default() > self.findings,
        };
        has_more || self.causes.is_empty() || self.lacks_a_cause_of(hint)
    }

    /// Objects that were only not judged may be the same ones in each part.
    fn has_new_part(&self, parts: &BTreeSet<&Part>, facts: &[(String, String)]) -> bool {
        let is_new = |part: &&Part| !self.parts.contains(*part) && !self.parts.contains(&Part::Everything);
        findings(facts) != Some(0) && parts.iter().any(is_new)
    }
}

/// Whether a name can be added to those that are kept.
fn fits(kept: &BTreeSet<String>, name: &String) -> Result<(), ObjectRefusal> {
    let bytes: usize = kept.iter().map(String::len).sum();
    match kept.contains(name) {
        true => Ok(()),
        false if name.len() > LONGEST_OBJECT_BYTES => Err(ObjectRefusal::TooLong),
        false if kept.len() >= MOST_OBJECTS || bytes + name.len() > MOST_NAME_BYTES => Err(ObjectRefusal::TooMany),
        false => Ok(()),
    }
}

/// The number of findings among the facts, if there is one. Those that are no damage do not count, where they are told apart.
fn findings(facts: &[(String, String)]) -> Option<u64> {
    let count = |fact: Fact| facts.iter().find(|(name, _)| name == fact.as_str())?.1.parse().ok();
    count(Fact::Damaged).or_else(|| count(Fact::Findings))
}

/// The causes that a hint is about. A hint says what to do, and so is the same for the same cause. The names in it, in backticks, are left
/// out: a file or a table may have another name each time.
fn causes(hint: &str) -> impl Iterator<Item = String> {
    let unnamed: String = hint.split('`').step_by(2).collect();
    unnamed.split(BETWEEN_CAUSES).map(str::to_owned).collect::<Vec<_>>().into_iter()
}
